/**
 * Perplexities of several policies on the same tokens. How much a text surprises the model varies far more from place
 * to place than from policy to policy, so policies are compared token by token: the mean of the differences has a
 * narrow interval where those of the perplexities are wide.
 */
import { formatPolicy, type Policy } from "@tok/kv-cache";
import type { Model } from "@tok/lm";
import { type BlockBootstrapOptions, blockInterval } from "./block-bootstrap.ts";
import { fail, integer } from "./errors.ts";
import type { Interval, RunOptions } from "./evaluation.ts";
import { readingOptions } from "./reader.ts";

export interface ComparePerplexityOptions
	extends RunOptions<readonly PerplexityResult[]>,
		BlockBootstrapOptions {
	/** The first one is what the others are compared with. */
	readonly policies: readonly Policy[];
	readonly ids: ArrayLike<number>;
	/** The first token that is scored; those before it are read. Defaults to 1. */
	readonly from?: number;
}

export interface PerplexityResult {
	readonly policy: string;
	/** Tokens scored. */
	readonly scored: number;
	/** Blocks of tokens that the intervals are drawn from. */
	readonly blocks: number;
	/** Mean −ln p, in nats per token. */
	readonly nll: number;
	/** exp(nll) */
	readonly perplexity: number;
	/** Of the perplexity, with 95 % confidence; null with fewer than two blocks. */
	readonly interval: Interval | null;
	/** From the first policy; null for that one itself. */
	readonly difference: PerplexityDifference | null;
}

export interface PerplexityDifference {
	/** Mean over the tokens of −ln p less the first policy's, in nats; above 0 is worse than that one. */
	readonly nll: number;
	/** With 95 % confidence; null with fewer than two blocks. */
	readonly interval: Interval | null;
}

/** One result per policy, in the order given. */
export async function comparePerplexity(
	model: Model,
	options: ComparePerplexityOptions,
): Promise<readonly PerplexityResult[]> {
	const { policies, ids, from = 1, signal, onProgress } = options;
	if (policies.length === 0) fail("policies: expected at least one, got none.");
	if (ids.length < 2) fail(`ids: expected at least 2 tokens, got ${ids.length}. Give a longer text.`);
	integer("from", from, 1, Math.max(1, ids.length - 1), `There are ${ids.length} tokens.`);
	const results: PerplexityResult[] = [];
	let baseline: Float32Array | undefined;
	for (const [index, policy] of policies.entries()) {
		const report = (read: number): void =>
			onProgress?.({
				tokens: index * ids.length + read,
				totalTokens: policies.length * ids.length,
				results: [...results],
			});
		const nll = await model.negativeLogLikelihoods(ids, {
			policy,
			from,
			signal,
			onProgress: report,
			...readingOptions(options),
		});
		results.push(summarise(formatPolicy(policy), nll, baseline, options));
		baseline ??= nll;
		report(ids.length);
	}
	return results;
}

function summarise(
	policy: string,
	nll: Float32Array,
	baseline: Float32Array | undefined,
	{ block = 256, resamples = 10_000, seed = 1 }: BlockBootstrapOptions,
): PerplexityResult {
	const options = { block, resamples, seed };
	const mean = meanOf(nll);
	const interval = blockInterval(nll, options);
	const differences = baseline && Float64Array.from(nll, (value, index) => value - (baseline[index] ?? 0));
	return {
		policy,
		scored: nll.length,
		blocks: Math.ceil(nll.length / block),
		nll: mean,
		perplexity: Math.exp(mean),
		interval: interval && { low: Math.exp(interval.low), high: Math.exp(interval.high) },
		difference:
			differences === undefined
				? null
				: { nll: meanOf(differences), interval: blockInterval(differences, options) },
	};
}

function meanOf(values: ArrayLike<number>): number {
	let sum = 0;
	for (let index = 0; index < values.length; index++) sum += values[index] as number;
	return sum / values.length;
}
