import { dense, rolling, sink } from "@tok/kv-cache";
import type { Model } from "@tok/lm";
import { describe, expect, test } from "vitest";
import {
	type ComparePerplexityOptions,
	comparePerplexity,
	type PerplexityResult,
} from "./compare-perplexity.ts";
import { recallingModel } from "./testing/recalling-model.ts";

const ids = [0, 0, 1, 0, 1, 0, 1, 0, 1];

/** −ln p of token i is `nats(policy, i)`. */
function scoring(nats: (policy: string, index: number) => number): Model {
	return {
		...recallingModel(),
		async negativeLogLikelihoods(tokens, { policy, from = 1, signal, onProgress }) {
			signal?.throwIfAborted();
			onProgress?.(tokens.length);
			return Float32Array.from({ length: tokens.length - from }, (_, index) =>
				nats(policy.map((segment) => segment.describe()).join(), from + index),
			);
		},
	};
}

const policies = [[dense()], [sink(4), rolling(4)]];
const compare = (model: Model, more: Partial<ComparePerplexityOptions> = {}) =>
	comparePerplexity(model, { policies, ids, block: 2, ...more });

test("perplexities, and the difference from the first policy token by token", async () => {
	// Nats 1 and 3 in turn, mean 2; the second policy is a quarter nat worse everywhere.
	const model = scoring((policy, index) => (index % 2 === 0 ? 3 : 1) + (policy === "dense" ? 0 : 0.25));
	expect(await compare(model)).toEqual([
		{
			policy: "dense",
			scored: 8,
			blocks: 4,
			nll: 2,
			perplexity: Math.exp(2),
			interval: { low: Math.exp(2), high: Math.exp(2) },
			difference: null,
		},
		{
			policy: "sink:4,rolling:4",
			scored: 8,
			blocks: 4,
			nll: 2.25,
			perplexity: Math.exp(2.25),
			interval: { low: Math.exp(2.25), high: Math.exp(2.25) },
			difference: { nll: 0.25, interval: { low: 0.25, high: 0.25 } },
		},
	]);
});

test("a small difference shows where the text varies much more", async () => {
	const model = scoring((policy, index) => 10 * Math.sin(index) + 10 + (policy === "dense" ? 0 : 0.01));
	const [first, second] = await compare(model, { ids: Array(400).fill(0) });
	const overlap = (first?.interval?.high ?? 0) > (second?.interval?.low ?? 0);
	expect(overlap).toBe(true);
	expect(second?.difference?.interval?.low).toBeCloseTo(0.01, 5);
});

test("scores from a token on", async () => {
	const seen: (number | undefined)[] = [];
	const model: Model = {
		...recallingModel(),
		async negativeLogLikelihoods(tokens, options) {
			seen.push(options.from);
			return new Float32Array(tokens.length - (options.from ?? 1)).fill(1);
		},
	};
	const [result] = await compare(model, { from: 5 });
	expect(seen).toEqual([5, 5]);
	expect(result).toMatchObject({ scored: 4, blocks: 2, nll: 1 });
});

test("one block has no interval", async () => {
	const results = await compare(
		scoring(() => 1),
		{ block: 256 },
	);
	expect(results.map(({ interval }) => interval)).toEqual([null, null]);
	expect(results[1]?.difference).toEqual({ nll: 0, interval: null });
});

describe("on the way", () => {
	test("progress goes over all policies, and holds the results of those that are done", async () => {
		const seen: [number, number, number][] = [];
		await compare(
			scoring(() => 1),
			{
				onProgress: ({ tokens, totalTokens, results }) => seen.push([tokens, totalTokens, results.length]),
			},
		);
		expect(seen).toEqual([
			[9, 18, 0],
			[9, 18, 1],
			[18, 18, 1],
			[18, 18, 2],
		]);
	});

	test("the signal rejects with its reason; finished policies are known", async () => {
		const controller = new AbortController();
		let done: readonly PerplexityResult[] = [];
		const running = compare(
			scoring(() => 1),
			{
				signal: controller.signal,
				onProgress: ({ results }) => {
					done = results;
					if (results.length === 1) controller.abort(new Error("enough"));
				},
			},
		);
		await expect(running).rejects.toThrow("enough");
		expect(done.map(({ policy }) => policy)).toEqual(["dense"]);
	});
});

test.each<[Partial<ComparePerplexityOptions>, string]>([
	[{ policies: [] }, "[tok/eval] policies: expected at least one, got none."],
	[{ ids: [1] }, "ids: expected at least 2 tokens, got 1. Give a longer text."],
	[{ from: 9 }, "from: expected an integer from 1 to 8, got 9. There are 9 tokens."],
	[{ block: 0 }, "block: expected an integer ≥ 1, got 0."],
	[{ resamples: 1 }, "resamples: expected an integer from 100"],
	[{ seed: -1 }, "seed: expected an integer from 0"],
])("%o is refused", async (more, message) => {
	await expect(
		compare(
			scoring(() => 1),
			more,
		),
	).rejects.toThrow(message);
});
