/**
 * The real model against independent goldens (goldens/smollm2), far enough into each policy to be past its first
 * evictions. `pnpm exactness` runs every policy on all tokens.
 */
import { parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { DecoderState } from "./decoder/decoder-state.ts";
import type { LanguageModel } from "./language-model.ts";
import { loadModel } from "./load-model.ts";
import type { Precision } from "./model.ts";
import { collect } from "./testing/collect.ts";
import {
	distance,
	goldenConversations,
	goldenLikelihoods,
	goldenLogits,
	goldenTokens,
	type LikelihoodGolden,
	likelihoodGoldens,
} from "./testing/real-goldens.ts";
import { fetchedModelPath } from "./testing/real-model.ts";

const { path, reason } = await fetchedModelPath();
const tokens = goldenTokens();
const named = (file: string): LikelihoodGolden =>
	likelihoodGoldens.find((golden) => golden.file === file) as LikelihoodGolden;

/** Each group has a model of its own: a graph holds all weights, and the next group's needs their memory. */
function describeReal(name: string, precision: Precision, body: (model: () => LanguageModel) => void): void {
	describe.skipIf(path === undefined)(path === undefined ? `${name} (skipped: ${reason})` : name, () => {
		const runtime = cpu();
		let model: LanguageModel;
		beforeAll(async () => {
			model = (await loadModel(path as string, { runtime, precision })) as LanguageModel;
		});
		afterAll(async () => {
			await model.dispose();
			await runtime.dispose();
		});
		body(() => model);
	});
}

/** Likelihoods of the golden's first `count` tokens. */
async function likelihoods(
	model: LanguageModel,
	{ policy, positions, from }: LikelihoodGolden,
	count: number,
	chunk: number,
): Promise<Float32Array> {
	return model.negativeLogLikelihoods(tokens.subarray(0, from + count), { policy, positions, from, chunk });
}

async function expectExact(model: LanguageModel, file: string, count: number, chunk: number): Promise<void> {
	const got = await likelihoods(model, named(file), count, chunk);
	expect(got).toHaveLength(count);
	const { worst, mean } = distance(got, goldenLikelihoods(named(file)));
	expect(worst).toBeLessThanOrEqual(2e-3);
	expect(mean).toBeLessThanOrEqual(1e-4);
}

describeReal("exact, sinks and a window", "exact", (model) => {
	test("sink:4,rolling:252 on all 6,143 tokens", async () => {
		await expectExact(model(), "policy_4_252", 6143, 512);
	}, 600_000);

	test.each([
		["policy_4_252_orig", 1024],
		["policy_1_255", 1024],
		["policy_2_254", 1024],
		["policy_8_248", 1024],
		["policy_4_1020", 1536],
	])("%s on %i tokens", async (file, count) => expectExact(model(), file, count, 512), 300_000);

	test.each([
		["policy_4_252", 1],
		["policy_4_252", 7],
		["policy_4_252", 64],
		["policy_4_252_orig", 1],
		["policy_4_252_orig", 7],
	])(
		"%s in chunks of %i, 400 tokens",
		async (file, chunk) => expectExact(model(), file, 400, chunk),
		300_000,
	);
});

describeReal("exact, memory", "exact", (model) => {
	test("blocks of 16 recalled, on all 1,535 tokens: a near-tie may choose another block", async () => {
		const golden = named("memory_8x16_sink4_rolling256");
		const got = await likelihoods(model(), golden, 1535, 128);
		const { mean, near } = distance(got, goldenLikelihoods(golden));
		expect(mean).toBeLessThanOrEqual(2e-3);
		expect(near).toBeGreaterThanOrEqual(0.99);
	}, 300_000);
});

describeReal("exact, one segment", "exact", (model) => {
	test.each([
		["policy_0_256", 1024],
		["policy_0_1024", 1536],
		["dense", 1024],
	])("%s on %i tokens", async (file, count) => expectExact(model(), file, count, 512), 300_000);

	test("logits of the first 64 tokens", async () => {
		const want = goldenLogits();
		const state = DecoderState.create(model().engine, parsePolicy("dense"), "in-cache");
		const { logits, take } = await state.read(tokens, { from: 0, to: 64, chunk: 64, scored: "all" });
		state.dispose();
		expect(take).toBe(64);
		expect(logits).toHaveLength(want.length);
		expect(distance(logits, want).worst).toBeLessThanOrEqual(1e-3);
	});

	test.each(goldenConversations().map((golden) => [golden.messages.at(-1)?.content, golden] as const))(
		"greedy answer to %j",
		async (_, golden) => {
			const { chatTemplate, tokenizer } = model();
			const rendered = chatTemplate?.render(golden.messages) ?? "";
			expect(rendered).toBe(golden.rendered);
			const prompt = tokenizer.encode(rendered, { parseSpecial: true });
			expect(prompt).toEqual(golden.promptIds);
			const session = model().createSession({ policy: parsePolicy("dense") });
			const answer = session.generate({ prompt, temperature: 0, maxTokens: 96 });
			const { ids, finishReason } = await collect(answer);
			expect(ids).toEqual(golden.ids);
			expect(tokenizer.decode(ids)).toBe(golden.text);
			// The end-of-text token is yielded, and is not part of the stream.
			const ended = tokenizer.endOfTextIds.has(ids.at(-1) as number);
			expect(finishReason).toBe(ended ? "stop" : "length");
			expect(session.stats.length).toBe(prompt.length + ids.length - (ended ? 1 : 0));
			session.dispose();
		},
		120_000,
	);
});

describeReal("exact, guesses", "exact", (model) => {
	test("greedy answers are those without them", async () => {
		let accepted = 0;
		for (const golden of goldenConversations()) {
			using session = model().createSession({ policy: parsePolicy("dense") });
			const answer = session.generate({
				prompt: golden.promptIds,
				temperature: 0,
				maxTokens: 96,
				speculate: 8,
			});
			const { ids, speculation } = await collect(answer);
			expect(ids).toEqual(golden.ids);
			accepted += speculation?.accepted ?? 0;
		}
		expect(accepted).toBeGreaterThan(0);
	}, 120_000);

	test.each([0, 0.4])(
		"a stream past its window at temperature %s",
		async (temperature) => {
			const options = { prompt: "Once upon a time", temperature, seed: 4, ignoreEndOfText: true } as const;
			const streams: (readonly number[])[] = [];
			for (const speculate of [0, 8]) {
				using session = model().createSession({ policy: parsePolicy("sink:4,rolling:60") });
				const { ids, speculation } = await collect(
					session.generate({ ...options, maxTokens: 200, speculate }),
				);
				streams.push(ids);
				if (speculate > 0) expect(speculation?.accepted).toBeGreaterThan(10);
			}
			expect(streams[1]).toEqual(streams[0]);
		},
		120_000,
	);
});

describeReal("exact, recomputation", "exact", (model) => {
	test("recompute:256 at 8 positions from 4096 on", async () => {
		await expectExact(model(), "recompute256_4096_4352", 8, 512);
	}, 300_000);
});

describeReal("fast", "fast", (model) => {
	test.each([
		["policy_4_252", "a float32 window", 2048],
		["policy_4_1020", "an 8-bit window", 2048],
	])(
		"%s, %s, on %i tokens: perplexity within 1 %, mean difference within 0.05 nats",
		async (file, _, count) => {
			const golden = named(file);
			const { mean, perplexityRatio } = distance(
				await likelihoods(model(), golden, count, 512),
				goldenLikelihoods(golden),
			);
			expect(Math.abs(perplexityRatio - 1)).toBeLessThanOrEqual(0.01);
			expect(mean).toBeLessThanOrEqual(0.05);
		},
		300_000,
	);
});

describeReal("fast, memory", "fast", (model) => {
	test("blocks of 16 recalled from an 8-bit archive: perplexity within 1 %, mean difference within 0.05 nats", async () => {
		const golden = named("memory_8x16_sink4_rolling256");
		const { mean, perplexityRatio } = distance(
			await likelihoods(model(), golden, 1535, 128),
			goldenLikelihoods(golden),
		);
		expect(Math.abs(perplexityRatio - 1)).toBeLessThanOrEqual(0.01);
		expect(mean).toBeLessThanOrEqual(0.05);
	}, 300_000);
});
