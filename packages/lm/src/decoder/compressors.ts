/**
 * What a compressive segment makes of a group of entries, of their un-rotated keys and of their values alike (Rae et
 * al., arXiv 1911.05507 §3.1: mean and max pooling).
 */

/** Merges entries [group, headDim] into `out` [headDim]. */
export type Compressor = (entries: Float32Array, out: Float32Array) => void;

const mean: Compressor = (entries, out) => {
	const width = out.length;
	const share = width / entries.length;
	entries.forEach((value, i) => {
		out[i % width] = (out[i % width] as number) + value * share;
	});
};

/** Channel by channel. */
const max: Compressor = (entries, out) => {
	const width = out.length;
	out.fill(Number.NEGATIVE_INFINITY);
	entries.forEach((value, i) => {
		out[i % width] = Math.max(out[i % width] as number, value);
	});
};

export const compressors: ReadonlyMap<string, Compressor> = new Map([
	["mean", mean],
	["max", max],
]);
