/** Perplexity over position: exp of the mean −ln p of neighbouring tokens. */
import { mean } from "../support/statistics.ts";

/** [position of the bin's middle, perplexity]. The last bin may be shorter, unless it has less than half the length. */
export function binPerplexity(values: Float32Array, length: number, end = values.length): [number, number][] {
	const bins: [number, number][] = [];
	for (let from = 0; from < end; from += length) {
		const to = Math.min(from + length, end);
		if (to - from < length / 2 && from > 0) break;
		bins.push([(from + to) / 2, perplexity(values.subarray(from, to))]);
	}
	return bins;
}

export function perplexity(values: Float32Array): number {
	return Math.exp(mean(values));
}

/** Bins of the ratio of two streams' perplexities. */
export function binRatio(
	values: Float32Array,
	reference: Float32Array,
	length: number,
	end?: number,
): [number, number][] {
	return binPerplexity(
		values.map((value, i) => value - (reference[i] as number)),
		length,
		end,
	);
}
