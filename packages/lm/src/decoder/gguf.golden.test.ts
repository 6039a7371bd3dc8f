/**
 * Every architecture through GGUF: the files that llama.cpp's converter makes of goldens/lm-tiny and lm-tiny-extra,
 * byte for byte (goldens/gguf-tiny), read back to the configuration and the logits of the folder they came from.
 */

import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Policy, rolling } from "@tok/kv-cache";
import { ropeFrequencies } from "@tok/rope";
import type { Runtime } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { diskFolder, openFileSource } from "../formats/file-source.ts";
import { type OpenDecoder, openGgufDecoder, openTransformersDecoder } from "../open-decoder.ts";
import { type ConvertedGguf, convertedGguf } from "../testing/converted-gguf.ts";
import { readGoldenLogits, worstError } from "../testing/golden-logits.ts";
import { openTensorFile } from "../testing/open-tensor-file.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { DecoderEngine } from "./decoder-engine.ts";

const goldens = fileURLToPath(new URL("../../../../goldens/", import.meta.url));
const manifests = join(goldens, "gguf-tiny");

/**
 * What the converter leaves out of the file, so that these logits need it from elsewhere. Of real models it concerns
 * Mistral 7B v0.1 and the larger of Qwen2 (windows), and those with dynamic NTK.
 */
const unwritten: Readonly<Record<string, readonly (keyof DecoderConfig)[]>> = {
	// The file calls itself llama, which has no windows.
	mistral: ["layers"],
	"qwen2-window": ["layers"],
	"llama-dynamic": ["ropes"],
	// query_pre_attn_scalar, and a pattern of 3 where files that name none mean 6.
	gemma3: ["attentionScale", "layers"],
	// no_rope_layers: files mean every fourth.
	smollm3: ["layers"],
};

/** Policies under which transformers' frequencies are those of the logits' length; dense otherwise. */
const policies: Readonly<Record<string, Policy>> = { "llama-dynamic": [rolling(95)] };

const names = readdirSync(manifests)
	.filter((file) => file.endsWith(".json"))
	.map((file) => basename(file, ".json"));

test("there is a manifest for every tiny model", () => {
	const models = ["lm-tiny", "lm-tiny-extra"].flatMap((set) =>
		readdirSync(join(goldens, set)).filter((name) => name !== "README.md"),
	);
	expect(names).toEqual(expect.arrayContaining(models));
});

describe.each(names)("%s", (name) => {
	const model = name.replace("-fused", "");
	const set = existsSync(join(goldens, "lm-tiny", model)) ? "lm-tiny" : "lm-tiny-extra";
	const folder = join(goldens, set, model);
	const left = unwritten[name] ?? [];
	let temporary: string;
	let runtime: Runtime;
	let converted: ConvertedGguf;
	let source: OpenDecoder;
	let gguf: OpenDecoder;

	beforeAll(() => {
		temporary = mkdtempSync(join(tmpdir(), "tok-gguf-"));
		runtime = cpu({ threads: 1 });
		source = openTransformersDecoder(diskFolder(folder));
		converted = convertedGguf(join(manifests, `${name}.json`), source.file);
		writeFileSync(join(temporary, "model.gguf"), converted.bytes);
		gguf = openGgufDecoder(openFileSource(join(temporary, "model.gguf")));
	});

	afterAll(async () => {
		await runtime.dispose();
		source.file.close();
		gguf.file.close();
		rmSync(temporary, { recursive: true });
	});

	test("the file is the converter's", () => {
		expect(converted.different).toEqual([]);
	});

	test("its configuration is the folder's, except for what the converter leaves out", () => {
		const fromGguf = comparable(gguf.config);
		const fromFolder = comparable(source.config);
		for (const [field, value] of Object.entries(fromFolder))
			if (left.includes(field as keyof DecoderConfig)) expect(fromGguf[field]).not.toEqual(value);
			else expect(fromGguf[field], field).toEqual(value);
	});

	test("its logits are transformers'", async () => {
		const supplied = Object.fromEntries(left.map((field) => [field, source.config[field]]));
		const config: DecoderConfig = { ...gguf.config, ...supplied };
		const engine = new DecoderEngine({ ...gguf, config, precision: "exact", runtime });
		const golden = readGoldenLogits(openTensorFile(join(folder, "io.safetensors")));
		const policy = policies[name];
		const options = policy === undefined ? { chunk: 40 } : { chunk: 40, policy };
		expect(await worstError(engine, golden, options)).toBeLessThanOrEqual(1);
		await engine.dispose();
	});
});

/** A configuration with its numbers as GGUF's float32 has them, and its rotations as frequencies, short and long. */
function comparable(config: DecoderConfig): Record<string, unknown> {
	const near = (value: number): number => Number(value.toPrecision(5));
	// The files' names for architectures are fewer, norms have their offset added, and absence means tied embeddings.
	const { architecture: _, normOffset: __, tiedEmbeddings: ___, ...fields } = config;
	return {
		...fields,
		epsilon: Math.fround(config.epsilon),
		ropes: config.ropes.flatMap((options) =>
			[1, 1000].map((sequenceLength) => {
				const { inverseFrequencies, rotaryDim, attentionFactor } = ropeFrequencies({
					...options,
					sequenceLength,
				});
				return {
					rotaryDim,
					attentionFactor: near(attentionFactor),
					frequencies: [...inverseFrequencies].map(near),
				};
			}),
		),
	};
}
