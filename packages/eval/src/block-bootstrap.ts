/**
 * The block bootstrap for the mean of a series (Künsch, "The Jackknife and the Bootstrap for General Stationary
 * Observations", 1989). Neighbouring tokens of a text are not independent, so whole blocks are drawn again.
 */
import { integer } from "./errors.ts";
import type { Interval } from "./evaluation.ts";
import { Random } from "./random.ts";

export interface BlockBootstrapOptions {
	/** Values in a block, an integer ≥ 1; the last block may have fewer. Defaults to 256. */
	readonly block?: number;
	/** Series drawn. Defaults to 10,000. */
	readonly resamples?: number;
	/** The same seed draws the same blocks. Defaults to 1. */
	readonly seed?: number;
}

/**
 * Where the mean lies, with 95 % confidence: the central 95 % of the means of series that are drawn from the blocks of
 * this one. Null with fewer than two blocks, which say nothing of how blocks differ; of fewer than about twenty it is
 * somewhat too narrow.
 */
export function blockInterval(
	values: ArrayLike<number>,
	{ block = 256, resamples = 10_000, seed = 1 }: BlockBootstrapOptions = {},
): Interval | null {
	integer("block", block, 1, Number.MAX_SAFE_INTEGER);
	integer("resamples", resamples, 100, 10_000_000);
	const { sums, counts } = blocksOf(values, block);
	const random = new Random(seed);
	if (sums.length < 2) return null;
	const means = new Float64Array(resamples);
	for (let i = 0; i < resamples; i++) {
		let sum = 0;
		let count = 0;
		for (let draw = 0; draw < sums.length; draw++) {
			const index = random.below(sums.length);
			sum += sums[index] as number;
			count += counts[index] as number;
		}
		means[i] = sum / count;
	}
	means.sort();
	const at = (share: number): number => means[Math.round(share * (resamples - 1))] as number;
	return { low: at(0.025), high: at(0.975) };
}

function blocksOf(values: ArrayLike<number>, block: number): { sums: number[]; counts: number[] } {
	const sums: number[] = [];
	const counts: number[] = [];
	for (let from = 0; from < values.length; from += block) {
		const to = Math.min(values.length, from + block);
		let sum = 0;
		for (let index = from; index < to; index++) sum += values[index] as number;
		sums.push(sum);
		counts.push(to - from);
	}
	return { sums, counts };
}
