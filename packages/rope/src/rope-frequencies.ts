/**
 * Frequencies of rotary position embeddings: pair i of d rotated dimensions turns by base^(−2i/d) radians per
 * position (RoFormer, arXiv 2104.09864, equation 15), changed by one of five scalings for longer contexts.
 * Everything is float64; the results agree with transformers' float32 `ROPE_INIT_FUNCTIONS` to 1e-6.
 *
 * An option is checked where it is read, so that a mistake in a configuration is an error here and not noise in the
 * logits.
 */
import { unexpected } from "./rope-error.ts";
import type { RopeOptions, RopeScaling } from "./rope-options.ts";

/** What angles are computed from; made by `ropeFrequencies`. */
export interface RopeFrequencies {
	/** [rotaryDim / 2] float64, radians per position, fastest first. */
	readonly inverseFrequencies: Float64Array;
	/** Leading dimensions of a head that are rotated; the others pass through. Even. */
	readonly rotaryDim: number;
	/** Multiplies cos and sin, of queries and of keys; 1 except with yarn and longrope. */
	readonly attentionFactor: number;
}

interface Plan {
	readonly base: number;
	readonly attentionFactor: number;
	/** The scaled frequency of pair i from its unscaled one, f. */
	readonly scale: (f: number, i: number) => number;
}

/**
 * Frequencies of the rotary embedding that the options describe.
 *
 * They depend on `sequenceLength` with the scalings "dynamic" and "longrope" only: a caller whose context grows
 * past the trained one computes them again, and keys rotated with the old ones no longer fit.
 *
 * @throws RopeError when an option is missing, out of range or contradicts another.
 */
export function ropeFrequencies(options: RopeOptions): RopeFrequencies {
	const { headDim } = options;
	// Rounded down as transformers does.
	const rotaryDim = Math.floor(headDim * read(options, "partialRotaryFactor", 1));
	// The limit is far above any model's and keeps a damaged configuration from allocating gigabytes.
	if (!Number.isInteger(headDim) || headDim > 65536 || rotaryDim < 2 || rotaryDim % 2 || rotaryDim > headDim)
		throw unexpected(
			"headDim",
			"an integer up to 65536 of which partialRotaryFactor leaves an even number from 2 to headDim",
			headDim,
		);
	const { base, attentionFactor, scale } = planScaling(options, rotaryDim);
	const inverseFrequencies = new Float64Array(rotaryDim / 2).map((_, i) =>
		scale(base ** ((-2 * i) / rotaryDim), i),
	);
	return { inverseFrequencies, rotaryDim, attentionFactor };
}

function planScaling(options: RopeOptions, d: number): Plan {
	const { scaling, maxPositions } = options;
	const base = read(options, "base", 10000, 1);
	if (maxPositions !== undefined) read(options, "maxPositions");
	// By default 1: a single position lies within every trained context.
	const sequenceLength = read(options, "sequenceLength", 1);
	const unscaled: Plan = { base, attentionFactor: 1, scale: (f) => f };
	if (!scaling) return unscaled;
	switch (scaling.type) {
		case "linear": {
			const s = read(scaling, "factor");
			return { ...unscaled, scale: (f) => f / s };
		}
		case "dynamic": {
			const s = read(scaling, "factor");
			const stretch = sequenceLength / read(options, "maxPositions");
			const growth = s * Math.max(stretch, 1) - s + 1;
			return { ...unscaled, base: base * growth ** (d / (d - 2)) };
		}
		case "yarn":
			return planYarn(scaling, base, maxPositions, d);
		case "llama3": {
			const s = read(scaling, "factor");
			const trained = read(scaling, "originalMaxPositions", maxPositions);
			const low = read(scaling, "lowFrequencyFactor");
			const high = read(scaling, "highFrequencyFactor", undefined, low);
			const turns = (f: number) => (trained * f) / (2 * Math.PI);
			return {
				...unscaled,
				scale: (f) => blend(f, s, (turns(f) - low) / (high - low)),
			};
		}
		case "longrope": {
			const trained = read(scaling, "originalMaxPositions", maxPositions, 1);
			const short = readList(scaling, "shortFactor", d / 2);
			const long = readList(scaling, "longFactor", d / 2);
			const divisors = sequenceLength > trained ? long : short;
			const extension = maxPositions && maxPositions / trained;
			const s = read(scaling, "factor", scaling.attentionFactor === undefined ? extension : 1);
			const growth = Math.log(Math.max(s, 1)) / Math.log(trained);
			return {
				base,
				attentionFactor: read(scaling, "attentionFactor", Math.sqrt(1 + growth)),
				scale: (f, i) => f / (divisors[i] as number),
			};
		}
		default:
			throw unexpected(
				"scaling.type",
				"linear, dynamic, yarn, llama3 or longrope",
				(scaling as { type: unknown }).type,
			);
	}
}

function planYarn(
	scaling: Extract<RopeScaling, { type: "yarn" }>,
	base: number,
	maxPositions: number | undefined,
	d: number,
): Plan {
	const s = read(scaling, "factor");
	const trained = read(scaling, "originalMaxPositions", maxPositions);
	const betaSlow = read(scaling, "betaSlow", 1);
	const betaFast = read(scaling, "betaFast", 32, betaSlow);
	const { mscale, mscaleAllDim, truncate = true } = scaling;
	if (typeof truncate !== "boolean") throw unexpected("truncate", "true or false", truncate);
	// The pair, as a real number, that turns `beta` times over the trained context.
	const pairOf = (beta: number) => (d * Math.log(trained / (beta * 2 * Math.PI))) / (2 * Math.log(base));
	const first = pairOf(betaFast);
	const last = pairOf(betaSlow);
	const low = Math.max(truncate ? Math.floor(first) : first, 0);
	// d − 1, not the number of pairs, and the step off `low`: as in YaRN's code, which models are trained with.
	let high = Math.min(truncate ? Math.ceil(last) : last, d - 1);
	if (high === low) high += 0.001;
	const temperature = (m: number) => 0.1 * m * Math.log(Math.max(s, 1)) + 1;
	const suggested =
		mscale === undefined && mscaleAllDim === undefined
			? temperature(1)
			: temperature(read(scaling, "mscale")) / temperature(read(scaling, "mscaleAllDim"));
	return {
		base,
		attentionFactor: read(scaling, "attentionFactor", suggested),
		scale: (f, i) => blend(f, s, (high - i) / (high - low)),
	};
}

/** f kept to the share `kept`, clamped to [0, 1], and divided by s for the rest. */
function blend(f: number, s: number, kept: number): number {
	const share = Math.min(Math.max(kept, 0), 1);
	return share * f + ((1 - share) * f) / s;
}

function isAbove(value: unknown, limit: number): value is number {
	return Number.isFinite(value) && (value as number) > limit;
}

/** The checked number under a key; without a fallback it must be there. */
function read<T extends object>(record: T, key: keyof T & string, fallback?: number, above = 0): number {
	const value: unknown = record[key] ?? fallback;
	if (!isAbove(value, above)) throw unexpected(key, `a finite number above ${above}`, value);
	return value;
}

function readList<T extends object>(record: T, key: keyof T & string, length: number): readonly number[] {
	const values: unknown = record[key];
	if (!Array.isArray(values) || values.length !== length || !values.every((value) => isAbove(value, 0)))
		throw unexpected(key, `${length} finite numbers above 0`, values);
	return values;
}
