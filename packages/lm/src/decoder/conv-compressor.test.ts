/** Convolutions against the sum that defines them, and weights that do not fit. */
import { expect, test } from "vitest";
import { type Convolution, convCompressor } from "./conv-compressor.ts";

const shape = { rate: 4, layers: 2, kvHeads: 3, headDim: 6 };
const { layers, kvHeads, headDim } = shape;

/** Not random, and no two alike. */
const numbers = (length: number, seed: number): Float32Array =>
	Float32Array.from({ length }, (_, i) => Math.sin(seed + 1.7 * i));

const convolution = (kernel: number, seed: number, more: Partial<Convolution> = {}): Convolution => ({
	kernel,
	weight: numbers(kvHeads * kernel * headDim * headDim, seed),
	...more,
});

/** Channel by channel: y_j = b_j + Σ_tap Σ_i x[row + tap · dilation]_i · W[head, tap, i, j]. */
function plain(x: readonly number[][], head: number, { kernel, weight, bias, dilation = 1 }: Convolution) {
	return Array.from({ length: x.length - (kernel - 1) * dilation }, (_, row) =>
		Array.from({ length: headDim }, (_, j) => {
			let sum = bias?.[head * headDim + j] ?? 0;
			for (let tap = 0; tap < kernel; tap++)
				for (let i = 0; i < headDim; i++) {
					const w = weight[head * kernel * headDim ** 2 + tap * headDim ** 2 + i * headDim + j] as number;
					sum += (x[row + tap * dilation]?.[i] as number) * w;
				}
			return sum;
		}),
	);
}

test.each([
	["one as wide as the rate", 4, (seed: number) => [convolution(4, seed)]],
	["with a bias", 4, (seed: number) => [convolution(4, seed, { bias: numbers(kvHeads * headDim, 5) })]],
	[
		"dilated: 2 taps at 1, 2 and 4",
		8,
		(seed: number) => [1, 2, 4].map((dilation) => convolution(2, seed + dilation, { dilation })),
	],
	[
		"3 taps, then 2 far apart",
		6,
		(seed: number) => [convolution(3, seed), convolution(2, seed + 1, { dilation: 3 })],
	],
] as const)("S35: a stack of convolutions is the sum that defines it: %s", (_, rate, stackOf) => {
	const weights = Array.from({ length: layers }, (_, layer) => ({
		key: stackOf(10 * layer),
		value: stackOf(10 * layer + 5),
	}));
	const compressor = convCompressor(weights);
	compressor.check?.({ ...shape, rate });
	const entries = numbers(rate * headDim, 3);
	const rows = Array.from({ length: rate }, (_, row) => [
		...entries.subarray(row * headDim, (row + 1) * headDim),
	]);
	for (const [layer, stacks] of weights.entries())
		for (const kind of ["key", "value"] as const)
			for (let head = 0; head < kvHeads; head++) {
				const out = new Float32Array(headDim);
				compressor.merge({ layer, head, kind, entries, attention: new Float64Array(0) }, out);
				const want = stacks[kind].reduce((x, each) => plain(x, head, each), rows);
				expect(want).toHaveLength(1);
				out.forEach((value, j) => {
					const expected = want[0]?.[j] as number;
					expect(Math.abs(value - expected)).toBeLessThanOrEqual(1e-5 + 1e-5 * Math.abs(expected));
				});
			}
});

test.each([
	["layers", [], "expected convolutions for the model's 2 layers, got 0"],
	[
		"weights of one head",
		[convolution(4, 0, { weight: numbers(4 * headDim ** 2, 0) })],
		"expected weights [3, 4, 6, 6] (heads, taps, channels in, channels out), 432 in all, got 144 for the key of layer 0",
	],
	[
		"too few taps",
		[convolution(3, 0)],
		"expected convolutions that make one entry of 4, got such of 3 for the key of layer 0",
	],
	["none", [[]].flat(), "expected convolutions that make one entry of 4, got such of 1"],
	[
		"a bias of one head",
		[convolution(4, 0, { bias: numbers(headDim, 0) })],
		"expected a bias [3, 6], got 6 numbers",
	],
	[
		"a kernel of a half",
		[convolution(0.5, 0)],
		"expected integers ≥ 1 as kernel and dilation, got 0.5 and 1",
	],
	[
		"no dilation",
		[convolution(4, 0, { dilation: 0 })],
		"expected integers ≥ 1 as kernel and dilation, got 4 and 0 for the key of layer 0",
	],
] as const)("S35: weights that do not fit are an error: %s", (what, key, message) => {
	const stacks = Array.from({ length: layers }, () => ({ key, value: [convolution(4, 1)] }));
	const compressor = convCompressor(what === "layers" ? [] : stacks);
	expect(() => compressor.check?.(shape)).toThrow(`[tok/lm] convCompressor: ${message}`);
});
