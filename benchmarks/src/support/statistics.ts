/**
 * Medians with their spread, and the paired block bootstrap (Künsch 1989): neighbouring positions of a text are not
 * independent, so whole blocks are drawn again, and both sides of a pair stay together.
 */

export interface Spread {
	readonly median: number;
	readonly min: number;
	readonly max: number;
}

export interface Interval {
	readonly low: number;
	readonly high: number;
}

/** Throws on an empty list. */
export function median(values: readonly number[]): number {
	if (values.length === 0) throw new RangeError("median: expected at least one value, got none.");
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	const upper = sorted[middle] as number;
	return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] as number)) / 2;
}

/** The value below which a share of the others lies: the nearest one. Throws on an empty list. */
export function quantile(values: readonly number[], share: number): number {
	if (values.length === 0) throw new RangeError("quantile: expected at least one value, got none.");
	return values.toSorted((a, b) => a - b)[Math.round(share * (values.length - 1))] as number;
}

export function spread(values: readonly number[]): Spread {
	return { median: median(values), min: Math.min(...values), max: Math.max(...values) };
}

export function mean(values: ArrayLike<number>): number {
	let sum = 0;
	for (let i = 0; i < values.length; i++) sum += values[i] as number;
	return sum / values.length;
}

/**
 * The central 95 % of `statistic` over resamples of whole blocks, drawn with replacement.
 * @param blocks The observations, in blocks that may count as independent of each other.
 */
export function blockBootstrap<Block>(
	blocks: readonly Block[],
	statistic: (sample: readonly Block[]) => number,
	{ resamples = 10_000, seed = 1 }: { resamples?: number; seed?: number } = {},
): Interval {
	const random = mulberry32(seed);
	const results = new Float64Array(resamples);
	for (let i = 0; i < resamples; i++)
		results[i] = statistic(blocks.map(() => blocks[Math.floor(random() * blocks.length)] as Block));
	results.sort();
	const at = (share: number): number => results[Math.round(share * (resamples - 1))] as number;
	return { low: at(0.025), high: at(0.975) };
}

/** Tommy Ettinger's mulberry32: uniform in [0, 1), the same sequence for the same seed. */
function mulberry32(seed: number): () => number {
	let state = seed >>> 0;
	return () => {
		state = (state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(state ^ (state >>> 15), state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
	};
}
