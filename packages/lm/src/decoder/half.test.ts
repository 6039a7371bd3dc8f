/** Decoders in half precision, as `fast` is on GPUs that have it, against transformers' logits. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parsePolicy } from "@tok/kv-cache";
import type { Runtime } from "@tok/runtime";
import { describe, expect, test } from "vitest";
import { diskFolder } from "../formats/file-source.ts";
import { openTransformersDecoder } from "../open-decoder.ts";
import { meanError, readGoldenLogits, readLogits } from "../testing/golden-logits.ts";
import { halfCpu } from "../testing/half-runtime.ts";
import { openTensorFile } from "../testing/open-tensor-file.ts";
import { cacheShape } from "./cache-cost.ts";
import { DecoderEngine } from "./decoder-engine.ts";
import { DecoderState } from "./decoder-state.ts";

const goldens = fileURLToPath(new URL("../../../../goldens/", import.meta.url));
const folders = ["llama", "llama-rope3-tied", "qwen3", "gemma3", "gpt-oss", "olmo2", "smollm3"].map(
	(name) => `lm-tiny/${name}`,
);

async function withEngine<T>(
	folder: string,
	runtime: Runtime,
	use: (engine: DecoderEngine) => Promise<T>,
): Promise<T> {
	const { file, ...decoder } = openTransformersDecoder(diskFolder(join(goldens, folder)));
	const engine = new DecoderEngine({ ...decoder, precision: "fast", runtime });
	try {
		return await use(engine);
	} finally {
		await engine.dispose();
		await runtime.dispose();
		file.close();
	}
}

describe.each(folders)("%s", (folder) => {
	const golden = readGoldenLogits(openTensorFile(join(goldens, folder, "io.safetensors")));
	const mean = (runtime: Runtime): Promise<number> =>
		withEngine(folder, runtime, (engine) => meanError(engine, golden, { chunk: 40 }));

	test("half precision adds nearly nothing to what weights of 8 bits cost", async () => {
		const half = await mean(halfCpu({ threads: 1 }));
		const whole = await mean({ ...halfCpu({ threads: 1 }), arithmetic: "float32" });
		expect(half).not.toBe(whole);
		// At most 5e-5 of 0.008 to 0.013.
		expect(Math.abs(half - whole)).toBeLessThan(2e-4);
	});
});

describe("where a runtime computes in half precision", () => {
	const kindsOf = (policy: string, runtime: Runtime): Promise<unknown> =>
		withEngine("lm-tiny/llama", runtime, async ({ config, remembering }) => {
			const segments = parsePolicy(policy);
			return cacheShape(config, segments, Array(segments.length).fill(16), remembering).kinds;
		});
	const gpu = (): Runtime => ({ ...halfCpu({ threads: 1 }), kvFormats: ["float32", "float16"] });

	test("keys and values are kept in it", async () => {
		const half = { format: "float16" };
		expect(await kindsOf("sink:4,rolling:12", gpu())).toEqual([half, half]);
		expect(await kindsOf("dense", gpu())).toEqual([half]);
		expect(await kindsOf("sink:4,rolling:12", halfCpu())).toBeUndefined();
	});

	test("a policy that recalls is kept, and computed, in float32", async () => {
		const policy = "sink:4,memory:32/2x4,rolling:12";
		expect(await kindsOf(policy, gpu())).toEqual([undefined, { sparseValues: true }, undefined]);
		const stream = Array.from({ length: 60 }, (_, i) => 3 + ((i * 7) % 90));
		const read = (runtime: Runtime): Promise<Float32Array> =>
			withEngine("lm-tiny/llama", runtime, (engine) =>
				readLogits(DecoderState.create(engine, parsePolicy(policy), "in-cache"), stream, {
					chunk: 7,
					tokens: stream.length,
				}),
			);
		expect(await read(gpu())).toEqual(await read({ ...halfCpu({ threads: 1 }), arithmetic: "float32" }));
	});

	test("S45: attention is summed in float32: what a head's queries laid on a window is 1 each", async () => {
		const tokens = 120;
		const stream = Array.from({ length: tokens }, (_, i) => 3 + ((i * 7) % 90));
		await withEngine("lm-tiny/llama", halfCpu({ threads: 1 }), async (engine) => {
			const policy = parsePolicy("compressive:8/2/most-used,rolling:200");
			const state = DecoderState.create(engine, policy, "in-cache");
			await state.read(stream, { from: 0, to: tokens, chunk: tokens, scored: "last" });
			const { layers, kvHeads, queryHeads } = engine.config;
			for (let head = 0; head < layers.length * kvHeads; head++) {
				const fell = state.attentionMass?.of(head, 0, tokens) ?? new Float64Array(0);
				const sum = fell.reduce((sum, mass) => sum + mass, 0);
				expect(Math.abs(sum / (tokens * (queryHeads / kvHeads)) - 1)).toBeLessThan(5e-4);
			}
			state.dispose();
		});
	});
});
