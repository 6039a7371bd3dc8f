/**
 * Every architecture under streaming policies, against a reference that drops entries from lists and rotates all keys
 * afresh at every step. The layers' own windows count in the frame of the positions: in-cache or original.
 */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { type Policy, parsePolicy, rolling, sink } from "@tok/kv-cache";
import type { Runtime } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { diskFolder } from "../formats/file-source.ts";
import { openTransformersDecoder } from "../open-decoder.ts";
import { readGoldenLogits, readLogits } from "../testing/golden-logits.ts";
import { openTensorFile } from "../testing/open-tensor-file.ts";
import { type Merge, ReferenceDecoder, type ReferencePolicy } from "../testing/reference-decoder.ts";
import { type Convolution, type ConvolutionStacks, convCompressor } from "./conv-compressor.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { DecoderEngine } from "./decoder-engine.ts";
import { DecoderState } from "./decoder-state.ts";

const goldens = fileURLToPath(new URL("../../../../goldens/", import.meta.url));

/** Those with windows have 32 (lm-tiny) or 20 (lm-tiny-extra) positions in them. */
const models = [
	...["llama", "llama-rope3-tied", "mistral", "qwen2", "qwen3", "phi3"].map((name) => `lm-tiny/${name}`),
	...["gemma3", "smollm3", "olmo2", "gpt-oss"].map((name) => `lm-tiny/${name}`),
	...["qwen2-window", "olmo3"].map((name) => `lm-tiny-extra/${name}`),
];

/** The cache longer than the windows, which then hide the sinks, and shorter. */
const cases: readonly (readonly [sinks: number, rolling: number])[] = [
	[4, 44],
	[2, 13],
	[0, 16],
];
const TOKENS = 88;

/** What the window drops is kept: archived, merged, and both; full before the stream ends. */
const keeping: readonly (readonly [policy: string, reference: Omit<ReferencePolicy, "positions">])[] = [
	[
		"sink:2,memory:40/2x4,rolling:13",
		{ sinks: 2, rolling: 13, memory: { capacity: 40, recall: 2, blockSize: 4 } },
	],
	["memory:12/3x1,rolling:20", { sinks: 0, rolling: 20, memory: { capacity: 12, recall: 3, blockSize: 1 } }],
	[
		"sink:2,memory:40/2x4/3,rolling:13",
		{ sinks: 2, rolling: 13, memory: { capacity: 40, recall: 2, blockSize: 4, every: 3 } },
	],
	[
		"memory:12/3x1/16,rolling:20",
		{ sinks: 0, rolling: 20, memory: { capacity: 12, recall: 3, blockSize: 1, every: 16 } },
	],
	[
		"sink:2,memory:40/2x4:rotated,rolling:13",
		{ sinks: 2, rolling: 13, memory: { capacity: 40, recall: 2, blockSize: 4, chosenBy: "rotated" } },
	],
	[
		"memory:12/3x1/2:rotated,rolling:20",
		{
			sinks: 0,
			rolling: 20,
			memory: { capacity: 12, recall: 3, blockSize: 1, every: 2, chosenBy: "rotated" },
		},
	],
	[
		"sink:2,memory:40/2x4:least-recalled,rolling:13",
		{ sinks: 2, rolling: 13, memory: { capacity: 40, recall: 2, blockSize: 4, eviction: "least-recalled" } },
	],
	[
		"memory:16/3x1/3:least-recalled,rolling:20",
		{
			sinks: 0,
			rolling: 20,
			memory: { capacity: 16, recall: 3, blockSize: 1, every: 3, eviction: "least-recalled" },
		},
	],
	[
		"sink:2,compressive:9/3/mean,rolling:13",
		{ sinks: 2, rolling: 13, compressive: { slots: 9, rate: 3, compressor: "mean" } },
	],
	[
		"sink:2,compressive:9/3/most-used,rolling:13",
		{ sinks: 2, rolling: 13, compressive: { slots: 9, rate: 3, compressor: "most-used" } },
	],
	[
		"sink:1,compressive:5/2/max,memory:24/2x4,rolling:16",
		{
			sinks: 1,
			rolling: 16,
			memory: { capacity: 24, recall: 2, blockSize: 4 },
			compressive: { slots: 5, rate: 2, compressor: "max" },
		},
	],
];

/** Not random, and no two alike: near the mean, so that a stream stays one. */
function convolutionsFor({ layers, kvHeads, headDim }: DecoderConfig, kernel: number): ConvolutionStacks[] {
	const convolution = (seed: number): Convolution => ({
		kernel,
		weight: Float32Array.from({ length: kvHeads * kernel * headDim ** 2 }, (_, i) => {
			const [from, to] = [Math.floor(i / headDim) % headDim, i % headDim];
			return ((from === to ? 1 : 0) + 0.2 * Math.sin(seed + i)) / kernel;
		}),
	});
	return layers.map((_, layer) => ({ key: [convolution(layer)], value: [convolution(layer + 0.5)] }));
}

/** Σ over a group's entries of the entry's row vector times its tap's matrix, head by head. */
function convolved(stacks: readonly ConvolutionStacks[], headDim: number): Merge {
	return (group, layer, kind) => {
		const [{ kernel, weight }] = (stacks[layer] as ConvolutionStacks)[kind] as [Convolution];
		return (group[0] as Float64Array).map((_, at) => {
			const [head, to] = [Math.floor(at / headDim), at % headDim];
			return group.reduce((sum, entry, tap) => {
				for (let from = 0; from < headDim; from++)
					sum +=
						(entry[head * headDim + from] as number) *
						(weight[((head * kernel + tap) * headDim + from) * headDim + to] as number);
				return sum;
			}, 0);
		});
	};
}

describe.each(models)("%s", (name) => {
	const folder = join(goldens, name);
	const golden = readGoldenLogits(openTensorFile(join(folder, "io.safetensors")));
	const stream = golden.streams.flat().slice(0, TOKENS);
	const reference = new ReferenceDecoder(folder);
	const { file, ...decoder } = openTransformersDecoder(diskFolder(folder));
	const { headDim } = decoder.config;
	const stacks = convolutionsFor(decoder.config, 3);
	const conv: Omit<ReferencePolicy, "positions"> = {
		sinks: 2,
		rolling: 13,
		compressive: { slots: 9, rate: 3, compressor: convolved(stacks, headDim) },
	};
	let runtime: Runtime;
	let engine: DecoderEngine;

	beforeAll(() => {
		runtime = cpu({ threads: 1 });
		const compressors = { conv: convCompressor(stacks) };
		engine = new DecoderEngine({ ...decoder, precision: "exact", runtime, compressors });
	});

	afterAll(async () => {
		await runtime.dispose();
		file.close();
	});

	test("the reference itself equals transformers while nothing is dropped", () => {
		const everything: ReferencePolicy = {
			sinks: 0,
			rolling: Number.POSITIVE_INFINITY,
			positions: "original",
		};
		const got = reference.read(golden.streams[0] as readonly number[], everything);
		expect(
			largestError(golden.logits.subarray(0, golden.length * golden.vocabulary), got),
		).toBeLessThanOrEqual(1);
	});

	describe.each(cases)("%i sinks and a window of %i", (sinks, window) => {
		test.each(["in-cache", "original"] as const)("%s positions, chunks of 1, 7 and 64", async (positions) => {
			const policy: Policy = sinks === 0 ? [rolling(window)] : [sink(sinks), rolling(window)];
			const want = reference.read(stream, { sinks, rolling: window, positions });
			for (const chunk of [1, 7, 64]) {
				const state = DecoderState.create(engine, policy, positions);
				const got = await readLogits(state, stream, { chunk, tokens: TOKENS });
				expect(largestError(got, want), `chunks of ${chunk}`).toBeLessThanOrEqual(1);
			}
		});
	});

	describe.each([...keeping, ["sink:2,compressive:9/3/conv,rolling:13", conv] as const])(
		"%s",
		(text, held) => {
			test.each(["in-cache", "original"] as const)(
				"%s positions, chunks of 1, 7 and 64",
				async (positions) => {
					if (
						held.memory !== undefined &&
						decoder.config.layers.every(({ window }) => window !== undefined)
					) {
						expect(() => DecoderState.create(engine, parsePolicy(text), positions)).toThrow(
							"expected a model with layers that look back without a limit",
						);
						return;
					}
					const want = reference.read(stream, { ...held, positions });
					for (const chunk of [1, 7, 64]) {
						const state = DecoderState.create(engine, parsePolicy(text), positions);
						const got = await readLogits(state, stream, { chunk, tokens: TOKENS });
						expect(largestError(got, want), `chunks of ${chunk}`).toBeLessThanOrEqual(1);
						state.dispose();
					}
				},
			);
		},
	);
});

/** In units of atol 1e-4 + rtol 1e-4. `got` are the rows of `want`, one after another. */
function largestError(got: Float32Array, want: readonly Float64Array[]): number {
	const vocabulary = want[0]?.length ?? 0;
	expect(got.length).toBe(want.length * vocabulary);
	let worst = 0;
	got.forEach((logit, i) => {
		const expected = want[Math.floor(i / vocabulary)]?.[i % vocabulary] as number;
		const error = Math.abs(logit - expected) / (1e-4 + 1e-4 * Math.abs(expected));
		if (!(error <= worst)) worst = error;
	});
	return worst;
}
