/**
 * What the evaluations have in common. Each is a function over a `Model`: it opens sessions under a policy, reads and
 * asks, and returns numbers. It touches no file and no terminal, and gives the same numbers for the same seed.
 */
import type { Policy, Positions } from "@tok/kv-cache";

export interface RunOptions<Results> {
	/** Rejects the evaluation with its reason, between two chunks or two tokens. What was done by then is in `onProgress`. */
	readonly signal?: AbortSignal | undefined;
	/** Called after each chunk that is read and each answer. */
	readonly onProgress?: (progress: EvaluationProgress<Results>) => void;
	/** Defaults to "in-cache". */
	readonly positions?: Positions;
	/** Most tokens that one graph call reads. Defaults to 128. */
	readonly chunk?: number;
}

export interface EvaluationOptions<Results> extends RunOptions<Results> {
	readonly policy: Policy;
	/** Chooses everything that is drawn. Defaults to 1. */
	readonly seed?: number;
}

export interface EvaluationProgress<Results> {
	/** Tokens read and generated so far. */
	readonly tokens: number;
	/** Tokens in all. */
	readonly totalTokens: number;
	/** Of the samples that are done: what the evaluation would return if these were all. */
	readonly results: Results;
}

/** One question, and what the model said. */
export interface Answer {
	readonly expected: string;
	readonly got: string;
	readonly exact: boolean;
	/** Tokens of the answer that are right in their place, of how many. */
	readonly tokensRight: number;
	readonly tokens: number;
	/** Tokens from the first one of the code, where the stream said it, to where the answer begins. */
	readonly distance: number;
}

/** How many of several answers are right. */
export interface Score {
	/** Answers that are right in every token. */
	readonly exact: number;
	/** Answers. */
	readonly samples: number;
	/** Share of tokens that are right in their place, 0 to 1; 0 without answers. */
	readonly tokenAccuracy: number;
	/** Where the true share of exact answers lies, with 95 % confidence (Wilson 1927); 0 to 1. */
	readonly interval: Interval;
}

/** A score with what it was counted from. */
export interface Recall extends Score {
	/** Mean number of tokens from the code to where the answer begins; null without answers, as JSON has no NaN. */
	readonly distance: number | null;
	readonly answers: readonly Answer[];
}

export interface Interval {
	readonly low: number;
	readonly high: number;
}
