/**
 * What describes a model's rotary embedding. Types only; `ropeFrequencies` checks the values.
 *
 * Scalings stretch a model trained on short contexts over longer ones; their names are transformers' `rope_type`s.
 * Numbers are finite and above 0, trained contexts above 1.
 */

/** How the frequencies are changed for contexts longer than the trained one. */
export type RopeScaling =
	/** Position Interpolation (arXiv 2306.15595): every frequency divided by `factor`. */
	| { readonly type: "linear"; readonly factor: number }
	/**
	 * Dynamic NTK: a larger base once `sequenceLength` exceeds `maxPositions`, which it needs (described in YaRN,
	 * arXiv 2309.00071, section 3.3).
	 */
	| { readonly type: "dynamic"; readonly factor: number }
	/** YaRN (arXiv 2309.00071): slow frequencies interpolated, fast ones kept, a ramp between; cos and sin scaled. */
	| {
			readonly type: "yarn";
			readonly factor: number;
			/** Trained context in positions. Defaults to `maxPositions`. */
			readonly originalMaxPositions?: number;
			/** Turns over the trained context from which a frequency is kept. Defaults to 32. */
			readonly betaFast?: number;
			/** Turns over the trained context up to which a frequency is interpolated. Defaults to 1. */
			readonly betaSlow?: number;
			/** Factor of cos and sin. Defaults to 0.1·ln(factor) + 1, or to what the two mscales give. */
			readonly attentionFactor?: number;
			/** DeepSeek: attention factor (0.1·mscale·ln(factor) + 1) / (0.1·mscaleAllDim·ln(factor) + 1). */
			readonly mscale?: number;
			/** Given with `mscale` or not at all. */
			readonly mscaleAllDim?: number;
			/** Whether the ends of the ramp are widened to whole dimensions; gpt-oss says no. Defaults to true. */
			readonly truncate?: boolean;
	  }
	/**
	 * Llama 3.1 (its reference code, `apply_scaling`): frequencies that turn at most `lowFrequencyFactor` times over
	 * the trained context are divided by `factor`, from `highFrequencyFactor` turns on they are kept.
	 */
	| {
			readonly type: "llama3";
			readonly factor: number;
			readonly lowFrequencyFactor: number;
			readonly highFrequencyFactor: number;
			/** Trained context in positions. Defaults to `maxPositions`. */
			readonly originalMaxPositions?: number;
	  }
	/** LongRoPE (arXiv 2402.13753): a divisor searched for each frequency, one set per context length. */
	| {
			readonly type: "longrope";
			/** [rotaryDim / 2] divisors up to `originalMaxPositions`. */
			readonly shortFactor: readonly number[];
			/** [rotaryDim / 2] divisors for a `sequenceLength` beyond `originalMaxPositions`. */
			readonly longFactor: readonly number[];
			/** Extension of the context. Defaults to maxPositions / originalMaxPositions. */
			readonly factor?: number;
			/** Trained context in positions. Defaults to `maxPositions`. */
			readonly originalMaxPositions?: number;
			/** Factor of cos and sin. Defaults to √(1 + ln(factor) / ln(originalMaxPositions)), or 1 for a factor ≤ 1. */
			readonly attentionFactor?: number;
	  };

export interface RopeOptions {
	/** Width of one attention head. */
	readonly headDim: number;
	/** θ of RoFormer, `rope_theta` of a configuration. Defaults to 10000. */
	readonly base?: number;
	/** Share of the head's dimensions that are rotated, (0, 1]; the others pass through. Defaults to 1. */
	readonly partialRotaryFactor?: number;
	/** Longest context the model is made for, in positions. */
	readonly maxPositions?: number;
	/** Defaults to none. */
	readonly scaling?: RopeScaling;
	/**
	 * Longest context that will be seen: chooses dynamic NTK's base and longrope's factors, nothing else.
	 * Defaults to the trained context.
	 */
	readonly sequenceLength?: number;
}
