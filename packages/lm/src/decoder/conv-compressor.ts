/**
 * Convolutions as a compressor, with weights that were trained elsewhere (Rae et al., arXiv 1911.05507 §3.1): one whose
 * width and stride are the rate, or a stack of dilated ones that together see a whole group and leave one entry.
 * Groups do not overlap, so nothing is padded; between the convolutions of a stack is no activation.
 */
import { TokError } from "@tok/runtime";
import type { Compressor, CompressorShape } from "./compressors.ts";

/** y[i] = bias + Σ over taps of x[i + tap · dilation] · weight[tap], the channels a row vector. */
export interface Convolution {
	/** Taps, an integer ≥ 1. */
	readonly kernel: number;
	/** [kvHeads, kernel, headDim, headDim]: tap 0 meets the oldest entry; channels in, then channels out. */
	readonly weight: Float32Array;
	/** [kvHeads, headDim] Defaults to none. */
	readonly bias?: Float32Array | undefined;
	/** Entries from one tap to the next, an integer ≥ 1. Defaults to 1. */
	readonly dilation?: number | undefined;
}

/** Of one layer; each convolution is applied to what the one before has left. */
export interface ConvolutionStacks {
	/** Of un-rotated keys. */
	readonly key: readonly Convolution[];
	readonly value: readonly Convolution[];
}

/**
 * A compressor for `loadModel(name, { compressors })`. A session under a policy that names it throws unless there are
 * stacks for every layer, their weights fit the model's heads, and in each 1 + Σ (kernel − 1) · dilation is the rate.
 *
 * @param layers By layer. Not copied.
 */
export function convCompressor(layers: readonly ConvolutionStacks[]): Compressor {
	return {
		check: (shape) => checkLayers(layers, shape),
		merge({ layer, head, kind, entries }, out) {
			const stack = layers[layer]?.[kind] ?? [];
			out.set(stack.reduce((rows, convolution) => convolve(rows, convolution, head, out.length), entries));
		},
	};
}

/** x [entries, width] → [entries − (kernel − 1) · dilation, width], summed in float64. */
function convolve(
	x: Float32Array,
	{ kernel, weight, bias, dilation = 1 }: Convolution,
	head: number,
	width: number,
): Float32Array {
	const rows = x.length / width - (kernel - 1) * dilation;
	const y = new Float64Array(rows * width);
	for (let row = 0; row < rows; row++) {
		const out = y.subarray(row * width, (row + 1) * width);
		if (bias !== undefined) out.set(bias.subarray(head * width, (head + 1) * width));
		for (let tap = 0; tap < kernel; tap++) {
			const from = (row + tap * dilation) * width;
			for (let channel = 0; channel < width; channel++) {
				const value = x[from + channel] as number;
				const at = ((head * kernel + tap) * width + channel) * width;
				for (let j = 0; j < width; j++) out[j] = (out[j] as number) + value * (weight[at + j] as number);
			}
		}
	}
	return Float32Array.from(y);
}

function checkLayers(layers: readonly ConvolutionStacks[], shape: CompressorShape): void {
	if (layers.length !== shape.layers)
		throw new TokError(
			"lm",
			`convCompressor: expected convolutions for the model's ${shape.layers} layers, got ${layers.length}.`,
		);
	for (const [layer, stacks] of layers.entries())
		for (const kind of ["key", "value"] as const)
			checkStack(`${kind} of layer ${layer}`, stacks[kind], shape);
}

function checkStack(where: string, stack: readonly Convolution[], shape: CompressorShape): void {
	const { rate, kvHeads, headDim } = shape;
	let seen = 1;
	for (const { kernel, weight, bias, dilation = 1 } of stack) {
		if (![kernel, dilation].every((count) => Number.isSafeInteger(count) && count >= 1))
			throw new TokError(
				"lm",
				`convCompressor: expected integers ≥ 1 as kernel and dilation, got ${kernel} and ${dilation} for the ${where}.`,
			);
		const size = kvHeads * kernel * headDim * headDim;
		if (weight.length !== size)
			throw new TokError(
				"lm",
				`convCompressor: expected weights [${kvHeads}, ${kernel}, ${headDim}, ${headDim}] (heads, taps, channels in, ` +
					`channels out), ${size} in all, got ${weight.length} for the ${where}.`,
			);
		if (bias !== undefined && bias.length !== kvHeads * headDim)
			throw new TokError(
				"lm",
				`convCompressor: expected a bias [${kvHeads}, ${headDim}], got ${bias.length} numbers for the ${where}.`,
			);
		seen += (kernel - 1) * dilation;
	}
	if (seen !== rate)
		throw new TokError(
			"lm",
			`convCompressor: expected convolutions that make one entry of ${rate}, got such of ${seen} for the ${where}. ` +
				"Let 1 + Σ (kernel − 1) · dilation be the policy's rate.",
		);
}
