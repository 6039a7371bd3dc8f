/**
 * How the next token is chosen from the logits. The filters act in transformers' order: repetition penalty,
 * temperature, top-k, top-p, min-p; each works on what the ones before it left, with its probabilities made to sum to 1.
 */
import { TokError } from "@tok/runtime";

export interface Sampling {
	/** Divides the logits; 0 takes the likeliest token, the lowest id among equals. Defaults to 0.8. */
	readonly temperature?: number;
	/** Keeps this many likeliest tokens; 0 keeps all. Defaults to 0. */
	readonly topK?: number;
	/** Keeps the fewest likeliest tokens whose probabilities reach this, in (0, 1]. Defaults to 0.95. */
	readonly topP?: number;
	/** Keeps tokens with at least this share of the likeliest one's probability, in [0, 1]. Defaults to 0. */
	readonly minP?: number;
	/** Divides positive logits of recent tokens and multiplies negative ones (Keskar et al. 2019). Defaults to 1. */
	readonly repetitionPenalty?: number;
	/** How many tokens count as recent. Defaults to 64. */
	readonly repetitionWindow?: number;
	/** Any safe integer; the same seed gives the same choices from the same logits. Defaults to a random one. */
	readonly seed?: number;
}

const ranges = {
	temperature: { isValid: (x: number) => x >= 0 && x < Infinity, expected: "a finite number ≥ 0" },
	topK: { isValid: (x: number) => Number.isSafeInteger(x) && x >= 0, expected: "a whole number ≥ 0" },
	topP: { isValid: (x: number) => x > 0 && x <= 1, expected: "a number in (0, 1]; 1 keeps all" },
	minP: { isValid: (x: number) => x >= 0 && x <= 1, expected: "a number in [0, 1]; 0 keeps all" },
	repetitionPenalty: {
		isValid: (x: number) => x > 0 && x < Infinity,
		expected: "a finite number > 0; 1 is none",
	},
	repetitionWindow: {
		isValid: (x: number) => Number.isSafeInteger(x) && x >= 0 && x <= 1_048_576,
		expected: "a whole number in [0, 1048576]",
	},
	seed: { isValid: Number.isSafeInteger, expected: "a whole number within ±(2^53 − 1)" },
} satisfies { [Name in keyof Sampling]-?: { isValid(value: number): boolean; expected: string } };

/** The options with their defaults. Throws a TokError for a value outside its range. */
export function validateSampling(options: Sampling = {}): Required<Sampling> {
	for (const [name, { isValid, expected }] of Object.entries(ranges)) {
		const value: unknown = options[name as keyof Sampling];
		if (value !== undefined && !(typeof value === "number" && isValid(value))) {
			throw new TokError(
				"lm",
				`sampling: ${name}: expected ${expected}, got ${JSON.stringify(value) ?? String(value)}.`,
			);
		}
	}
	return {
		temperature: options.temperature ?? 0.8,
		topK: options.topK ?? 0,
		topP: options.topP ?? 0.95,
		minP: options.minP ?? 0,
		repetitionPenalty: options.repetitionPenalty ?? 1,
		repetitionWindow: options.repetitionWindow ?? 64,
		seed: options.seed ?? Math.floor(Math.random() * 2 ** 53),
	};
}
