/** Every architecture against transformers' logits on a small random model: goldens/lm-tiny and lm-tiny-extra. */
import { copyFileSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Policy, rolling } from "@tok/kv-cache";
import type { Runtime } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openTransformersDecoder } from "../open-decoder.ts";
import { readGoldenLogits, worstError } from "../testing/golden-logits.ts";
import { DecoderEngine } from "./decoder-engine.ts";

const goldens = fileURLToPath(new URL("../../../../goldens/", import.meta.url));
const extra = join(goldens, "lm-tiny-extra");

let runtime: Runtime;
beforeAll(() => {
	runtime = cpu({ threads: 1 });
});
afterAll(() => runtime.dispose());

/** Runs with a decoder of the folder, and closes its file. */
async function withDecoder(folder: string, use: (engine: DecoderEngine) => Promise<void>): Promise<void> {
	const { file, ...decoder } = openTransformersDecoder(folder);
	try {
		await use(new DecoderEngine({ ...decoder, precision: "exact", runtime }));
	} finally {
		file.close();
	}
}

const tiny = readdirSync(join(goldens, "lm-tiny")).map(
	(name) => [name, join(goldens, "lm-tiny", name)] as const,
);
const whole = ["qwen2-window", "olmo3", "gpt-oss-mxfp4", "phi3-longrope"].map(
	(name) => [name, join(extra, name)] as const,
);

describe.each([...tiny, ...whole])("%s", (_, folder) => {
	const golden = readGoldenLogits(join(folder, "io.safetensors"));

	test.each([1, 7, 96])("logits equal transformers', read in chunks of %i", async (chunk) => {
		await withDecoder(folder, async (engine) => {
			expect(await worstError(engine, golden, { chunk })).toBeLessThanOrEqual(1);
		});
	});
});

describe("frequencies that depend on the length of the context", () => {
	test("longrope: a cache that stays within the trained context takes the short factors", async () => {
		const folder = join(extra, "phi3-longrope");
		const names = { ids: "short.input_ids", logits: "short.logits" };
		const golden = readGoldenLogits(join(folder, "io.safetensors"), names);
		await withDecoder(folder, async (engine) => {
			// 47 entries and the token itself are the 48 positions that the model was trained on.
			expect(await worstError(engine, golden, { policy: [rolling(47)] })).toBeLessThanOrEqual(1);
			expect(await worstError(engine, golden, { policy: [rolling(48)] })).toBeGreaterThan(100);
			expect(await worstError(engine, golden)).toBeGreaterThan(100);
		});
	});

	const cases: readonly (readonly [name: string, policy: Policy | undefined])[] = [
		["linear", undefined],
		["yarn", undefined],
		// transformers scales for the 96 tokens that it reads at once; so does a cache of 95 entries and a token.
		["dynamic", [rolling(95)]],
	];
	test.each(cases)("llama with %s scaling", async (scaling, policy) => {
		const source = join(extra, "llama-scaled");
		const folder = mkdtempSync(join(tmpdir(), "tok-scaled-"));
		try {
			copyFileSync(join(source, "model.safetensors"), join(folder, "model.safetensors"));
			copyFileSync(join(source, scaling, "config.json"), join(folder, "config.json"));
			const golden = readGoldenLogits(join(source, "io.safetensors"), { logits: `${scaling}.logits` });
			await withDecoder(folder, async (engine) => {
				const options = policy === undefined ? {} : { policy };
				expect(await worstError(engine, golden, { ...options, chunk: 7 })).toBeLessThanOrEqual(1);
			});
		} finally {
			rmSync(folder, { recursive: true });
		}
	});
});
