/** The study's figures: perplexities, and ratios with intervals from a paired bootstrap over blocks. */
import { blockBootstrap, type Interval, mean } from "../support/statistics.ts";
import { binPerplexity, perplexity } from "./bins.ts";
import type { Stretch } from "./long-stream.ts";
import type { WindowCurve } from "./windows.ts";

/** How one side's perplexity compares with the other's on the same tokens. */
export interface Comparison {
	readonly positions: number;
	readonly blocks: number;
	/** Perplexity ÷ the other side's. */
	readonly ratio: number;
	/** Of the ratio, 95 %. */
	readonly interval: Interval;
}

export interface WindowSummary {
	readonly label: string;
	readonly policy: string;
	/** Over all tokens. */
	readonly perplexity: number;
	/** Over the predictions from `settledFrom` on. */
	readonly settled: number;
	/** To the dense cache, over the same. */
	readonly toDense: Comparison;
	/** Nats per token, from the reference implementation's. */
	readonly difference: { readonly mean: number; readonly max: number };
}

export interface StretchSummary extends Comparison {
	/** Perplexity of the long stream over all stretches, and the yardstick's. */
	readonly stream: number;
	readonly yardstick: number;
	/** Of each stretch: the index of its first token, and stream ÷ yardstick. */
	readonly stretches: readonly { readonly from: number; readonly ratio: number }[];
	/** By how much ln of the ratio changes over 100,000 tokens; 0 is flat. */
	readonly drift: number;
	readonly driftInterval: Interval;
}

export interface LongSummary {
	readonly tokens: number;
	readonly bin: number;
	readonly perplexity: number;
	/** Perplexity of each bin. */
	readonly bins: readonly number[];
}

/** Tokens of a bootstrap block: a few sentences. */
const BLOCK = 64;

/** The first prediction that counts as settled, every window long full: a third of the stream, 2,048 of 6,144 tokens. */
export function settledFrom(tokens: number): number {
	return Math.floor(tokens / 3);
}

export function summariseWindows(curves: readonly WindowCurve[]): WindowSummary[] {
	const dense = curves.find(({ label }) => label === "dense");
	if (dense === undefined) throw new Error("internal: the dense curve is missing.");
	const from = settledFrom(dense.values.length + 1);
	return curves.map(({ label, policy, values, reference }) => {
		const distances = values.map((value, i) => Math.abs(value - (reference[i] as number)));
		return {
			label,
			policy,
			perplexity: perplexity(values),
			settled: perplexity(values.subarray(from)),
			toDense: compare(blocksOf(values.subarray(from), dense.values.subarray(from))),
			difference: { mean: mean(distances), max: distances.reduce((most, x) => Math.max(most, x), 0) },
		};
	});
}

/** One sink against four, in caches of 256 entries, over the settled predictions. */
export function compareOneSink(curves: readonly WindowCurve[]): Comparison {
	const settled = (name: string): Float32Array => {
		const values = curves.find(({ label }) => label === name)?.values;
		if (values === undefined) throw new Error(`internal: the curve ${name} is missing.`);
		return values.subarray(settledFrom(values.length + 1));
	};
	return compare(blocksOf(settled("1+255"), settled("4+252")));
}

export function summariseStretches(stretches: readonly Stretch[]): StretchSummary {
	const all = (side: "stream" | "yardstick"): number =>
		Math.exp(mean(stretches.map((stretch) => mean(stretch[side]))));
	const points = stretches.map(({ from, stream, yardstick }) => ({
		x: from / 100_000,
		y: mean(differences(stream, yardstick)),
	}));
	return {
		...compare(stretches.map(({ stream, yardstick }) => differences(stream, yardstick))),
		stream: all("stream"),
		yardstick: all("yardstick"),
		stretches: points.map(({ y }, i) => ({ from: (stretches[i] as Stretch).from, ratio: Math.exp(y) })),
		drift: slope(points),
		driftInterval: blockBootstrap(points, slope),
	};
}

export function summariseLongStream(values: Float32Array, bin: number): LongSummary {
	const bins = binPerplexity(values, bin).map(([, value]) => value);
	return { tokens: values.length, bin, perplexity: perplexity(values), bins };
}

function compare(blocks: readonly Float32Array[]): Comparison {
	const sums = blocks.map((block) => ({ sum: mean(block) * block.length, count: block.length }));
	const ratioOf = (sample: readonly (typeof sums)[number][]): number => {
		let sum = 0;
		let count = 0;
		for (const block of sample) {
			sum += block.sum;
			count += block.count;
		}
		return Math.exp(sum / count);
	};
	return {
		positions: sums.reduce((total, { count }) => total + count, 0),
		blocks: blocks.length,
		ratio: ratioOf(sums),
		interval: blockBootstrap(sums, ratioOf),
	};
}

function blocksOf(values: Float32Array, reference: Float32Array): Float32Array[] {
	const all = differences(values, reference);
	const count = Math.ceil(all.length / BLOCK);
	return Array.from({ length: count }, (_, i) => all.subarray(i * BLOCK, (i + 1) * BLOCK));
}

function differences(values: Float32Array, reference: Float32Array): Float32Array {
	return values.map((value, i) => value - (reference[i] as number));
}

/** Of the least-squares line. */
function slope(points: readonly { readonly x: number; readonly y: number }[]): number {
	const x = mean(points.map((point) => point.x));
	const y = mean(points.map((point) => point.y));
	let covariance = 0;
	let variance = 0;
	for (const point of points) {
		covariance += (point.x - x) * (point.y - y);
		variance += (point.x - x) ** 2;
	}
	return covariance / variance;
}
