/** Sessions on a tiny model, rule by rule: SPEC.md. Saved sessions and endless ones have files of their own. */
import { dense, formatPolicy, type Policy, parsePolicy, recompute, rolling, sink } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import { describe, expect, test } from "vitest";
import { loadModel } from "../load-model.ts";
import type { GenerateOptions, Model, Session, SessionOptions } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { bosId, eosId, removeFolder, type TinyModelOptions, tinyModelFolder } from "../testing/tiny-model.ts";

const { runtime, model } = await openTinyModel();
const policy: Policy = [sink(4), rolling(28)];
const greedy = { temperature: 0, ignoreEndOfText: true } as const;
const sampled = { temperature: 1, topP: 1, ignoreEndOfText: true } as const;
const prompt = "The harbour was quiet when the clockmaker came home, and so it stayed.";

const open = (options: Partial<SessionOptions> = {}): Session => model.createSession({ policy, ...options });
const ids = (text: string): number[] => model.tokenizer.encode(text);
const next = async (session: Session, options: GenerateOptions = {}): Promise<readonly number[]> =>
	(await collect(session.generate({ ...greedy, maxTokens: 12, ...options }))).ids;

async function withModel(options: TinyModelOptions, use: (model: Model) => Promise<void>): Promise<void> {
	const path = tinyModelFolder(options);
	const other = await loadModel(path, { runtime });
	try {
		await use(other);
	} finally {
		await other.dispose();
		removeFolder(path);
	}
}

describe("the stream", () => {
	test("S2: retained + evicted + pending = length, and bytes are the policy's", async () => {
		const session = open();
		expect(session.stats).toEqual({
			length: 0,
			attached: 0,
			retained: 0,
			evicted: 0,
			bytes: model.cacheBytes(policy),
			diskBytes: 0,
		});
		await session.append(prompt);
		const { length } = ids(prompt);
		expect(session.stats).toMatchObject({ length, retained: 32, evicted: length - 32 });
		await next(session, { maxTokens: 10, ignoreEndOfText: true });
		expect(session.stats).toMatchObject({ length: length + 10, retained: 32, evicted: length + 9 - 32 });
		expect(model.cacheBytes(policy)).toBe(32 * 3 * 2 * 16 * 2 * 4);
		expect(model.cacheBytes([dense()])).toBe(Number.POSITIVE_INFINITY);
	});

	test("S3: text and its ids are the same stream, and control tokens in text stay text", async () => {
		const [text, numbers] = [open(), open()];
		await text.append(`${prompt}</s>`);
		await numbers.append(ids(`${prompt}</s>`));
		expect(ids("</s>")).toHaveLength(4);
		expect(await next(text)).toEqual(await next(numbers));
	});

	test.each([[[160]], [[-1]], [[1.5]], [[Number.NaN]], [[5, 6, 1e9]]])(
		"S3: ids out of range (%j) are an error, and nothing has changed",
		async (bad) => {
			const session = open();
			await session.append("Once");
			await expect(session.append(bad)).rejects.toThrow(/^\[tok\/lm\] ids: expected integers from 0 to 159/);
			await expect(next(session, { prompt: bad })).rejects.toThrow(TokError);
			expect(session.stats.length).toBe(4);
			expect(() => open({ pin: bad })).toThrow(/ids: expected integers/);
			await expect(model.negativeLogLikelihoods([3, ...bad], { policy })).rejects.toThrow(/ids: expected/);
		},
	);

	test.each(["sink:4,rolling:28", "rolling:32", "dense", "recompute:16"])(
		"S4: %s: chunks and calls make no difference",
		async (text) => {
			const stream = ids(prompt);
			const want = await model.negativeLogLikelihoods(stream, { policy: parsePolicy(text), chunk: 512 });
			for (const chunk of [1, 7, 64]) {
				const got = await model.negativeLogLikelihoods(stream, { policy: parsePolicy(text), chunk });
				expect(got).toHaveLength(stream.length - 1);
				for (const [i, nll] of got.entries()) expect(nll).toBeCloseTo(want[i] as number, 4);
			}
			const whole = open({ policy: parsePolicy(text) });
			await whole.append(stream);
			const ids16 = await next(whole);
			for (const chunk of [1, 7]) {
				const pieces = open({ policy: parsePolicy(text), chunk });
				for (let from = 0; from < stream.length; from += 10)
					await pieces.append(stream.slice(from, from + 10));
				expect(await next(pieces)).toEqual(ids16);
			}
		},
	);

	test("S4: likelihoods from a later token on are those of all", async () => {
		const stream = ids(prompt);
		for (const policy of [[sink(4), rolling(28)], [recompute(16)]]) {
			const all = await model.negativeLogLikelihoods(stream, { policy });
			const some = await model.negativeLogLikelihoods(stream, { policy, from: 50 });
			expect(some).toHaveLength(stream.length - 50);
			for (const [i, nll] of some.entries()) expect(nll).toBeCloseTo(all[i + 49] as number, 4);
		}
	});

	test.each([0, -1, 1.5, Number.NaN])("S4: a chunk of %d is an error", async (chunk) => {
		expect(() => open({ chunk })).toThrow(/^\[tok\/lm\] chunk: expected an integer ≥ 1/);
		await expect(model.negativeLogLikelihoods([3, 4], { policy, chunk })).rejects.toThrow(/chunk: expected/);
	});

	test.each([[[]], [[3]]])("S4: likelihoods of %j are an error", async (stream) => {
		await expect(model.negativeLogLikelihoods(stream, { policy })).rejects.toThrow(/at least two tokens/);
	});

	test("S5: a pinned beginning never leaves, and reads as its tokens would", async () => {
		const pin = "You are a clock. ";
		const pinned = open({ pin });
		expect(pinned.policy.map(({ slots }) => slots)).toEqual([ids(pin).length, 28]);
		expect(pinned.stats.length).toBe(ids(pin).length);
		await pinned.append(prompt);
		const plain = open({ policy: [sink(ids(pin).length), rolling(28)] });
		await plain.append([...ids(pin), ...ids(prompt)]);
		expect(await next(pinned)).toEqual(await next(plain));
		const pinnedPolicy = (text: string) =>
			formatPolicy(open({ pin: "ab", policy: parsePolicy(text) }).policy);
		expect(pinnedPolicy("sink:4,rolling:28")).toBe("sink:4,rolling:28");
		expect(pinnedPolicy("rolling:8")).toBe("sink:2,rolling:8");
		expect(pinnedPolicy("dense")).toBe("dense");
		expect(() => open({ pin, policy: [recompute(8)] })).toThrow(/pin: expected a policy that keeps entries/);
	});
});

describe("generation", () => {
	test.each([
		["bos", {}, bosId],
		["eos, without a bos,", { special: { eos_token: "</s>" } }, eosId],
	] as const)("S6: an empty stream begins with %s which counts", async (_, options, start) => {
		await withModel(options, async (other) => {
			const empty = other.createSession({ policy });
			const begun = other.createSession({ policy });
			await begun.append([start]);
			expect(await next(empty, { prompt: "" })).toEqual(await next(begun));
			expect(empty.stats).toEqual(begun.stats);
		});
	});

	test("S6: a model with neither needs a prompt", async () => {
		await withModel({ special: {} }, async (other) => {
			const session = other.createSession({ policy });
			await expect(next(session)).rejects.toThrow(/^\[tok\/lm\] generate: expected a prompt/);
			expect(await next(session, { prompt: "Once" })).toHaveLength(12);
		});
	});

	test("S7: the texts together are the ids decoded", async () => {
		const session = open();
		const { ids, text } = await collect(session.generate({ prompt, ...sampled, seed: 3, maxTokens: 300 }));
		expect(text).toBe(model.tokenizer.decode(ids, { skipSpecialTokens: true }));
		expect(text).toContain("\ufffd");
	});

	test("S8: the end-of-text token is yielded, and is not part of the stream", async () => {
		const session = open();
		const options = { ...sampled, ignoreEndOfText: false, seed: 2 };
		const {
			ids: chosen,
			finishReason,
			tokens,
			yielded,
		} = await collect(session.generate({ prompt, ...options }));
		expect(finishReason).toBe("stop");
		expect(chosen.indexOf(eosId)).toBe(chosen.length - 1);
		expect(tokens).toBe(chosen.length);
		expect(yielded.at(-1)?.text).not.toContain("</s>");
		expect(session.stats.length).toBe(ids(prompt).length + chosen.length - 1);
		const plain = open();
		await plain.append([...ids(prompt), ...chosen.slice(0, -1)]);
		expect(await next(session)).toEqual(await next(plain));
	});

	test("S8: ignoreEndOfText never chooses it", async () => {
		const { ids, finishReason } = await collect(open().generate({ ...sampled, seed: 2, maxTokens: 2000 }));
		expect(finishReason).toBe("length");
		expect(ids).not.toContain(eosId);
	});

	test("S9: a stop string is not in the text, its tokens are in the stream", async () => {
		const options = { prompt, ...sampled, seed: 11 };
		const free = await collect(open().generate({ ...options, maxTokens: 200 }));
		const printable = /[!-~]{3}/.exec(free.text.slice(20));
		const stop = printable?.[0] as string;
		const session = open();
		const stopped = await collect(session.generate({ ...options, stop: ["no such text", stop] }));
		expect(stopped.finishReason).toBe("stop");
		expect(stopped.text).toBe(free.text.slice(0, free.text.indexOf(stop)));
		expect(stopped.ids).toEqual(free.ids.slice(0, stopped.tokens));
		expect(session.stats.length).toBe(ids(prompt).length + stopped.tokens);
		const held = await collect(
			open().generate({ ...options, maxTokens: 200, stop: [`${free.text.slice(-2)}…`] }),
		);
		expect(held.text).toBe(free.text);
		await expect(next(session, { stop: [""] })).rejects.toThrow(/stop: expected/);
	});

	test("S10: maxTokens 0 reads the prompt and chooses nothing", async () => {
		const session = open();
		const result = await collect(session.generate({ prompt, maxTokens: 0 }));
		expect(result).toMatchObject({ finishReason: "length", tokens: 0, ids: [] });
		expect(session.stats.length).toBe(ids(prompt).length);
		const other = open();
		expect(await next(session)).toEqual(await next(other, { prompt }));
	});

	test.each([
		["maxTokens", -1],
		["maxTokens", 1.5],
		["logprobs", -1],
		["temperature", -0.1],
		["topP", 0],
	])("S10: %s %d is an error", async (name, value) => {
		const session = open();
		await expect(next(session, { [name]: value })).rejects.toThrow(new RegExp(`^\\[tok/lm\\] .*${name}`));
		expect(await next(session, { prompt: "Once" })).toHaveLength(12);
	});

	test("S11: the signal ends generation, and the session goes on", async () => {
		const want = await next(open(), { prompt, maxTokens: 20 });
		const session = open();
		const controller = new AbortController();
		const generation = session.generate({ prompt, ...greedy, signal: controller.signal });
		const got: number[] = [];
		for (;;) {
			const step = await generation.next();
			if (step.done) {
				expect(step.value).toEqual({ finishReason: "abort", tokens: 5 });
				break;
			}
			got.push(step.value.id);
			if (got.length === 5) controller.abort();
		}
		expect([...got, ...(await next(session, { maxTokens: 15 }))]).toEqual(want);
	});

	test("S11: aborted while its prompt is read, generation keeps what was read", async () => {
		const session = open({ chunk: 16 });
		await session.append("ab");
		const signal = AbortSignal.abort();
		expect(await collect(session.generate({ prompt, signal }))).toMatchObject({
			finishReason: "abort",
			tokens: 0,
		});
		expect(session.stats.length).toBe(2);
	});

	test("S12: breaking off leaves a whole stream", async () => {
		const want = await next(open(), { prompt, maxTokens: 40 });
		const session = open();
		const got: number[] = [];
		while (got.length < 40) {
			for await (const { id } of session.generate({ ...greedy, ...(got.length === 0 && { prompt }) })) {
				got.push(id);
				if (got.length % 8 === 0) break;
			}
		}
		expect(got).toEqual(want);
		expect(session.stats.length).toBe(ids(prompt).length + 40);
	});

	test("S13: a seed gives the same choices, and without one they go on", async () => {
		const run = (options: GenerateOptions) => next(open(), { prompt, ...sampled, ...options });
		expect(await run({ seed: 5 })).toEqual(await run({ seed: 5 }));
		expect(await run({ seed: 5 })).not.toEqual(await run({ seed: 6 }));
		expect(await run({})).not.toEqual(await run({}));
		const session = open();
		const parts = [
			...(await next(session, { prompt, ...sampled, seed: 5, maxTokens: 5 })),
			...(await next(session, { ...sampled, maxTokens: 7 })),
		];
		expect(parts).toEqual(await run({ seed: 5 }));
	});

	test("S14: the penalty counts what was appended and generated before", async () => {
		const penalty = { repetitionPenalty: 1.5, repetitionWindow: 100, ignoreEndOfText: true };
		for (const policy of [[sink(4), rolling(28)], [rolling(8)], [recompute(8)]]) {
			const want = await next(open({ policy }), { prompt, ...penalty, maxTokens: 60 });
			const session = open({ policy });
			await session.append(prompt);
			const got: number[] = [];
			while (got.length < 60) got.push(...(await next(session, { ...penalty, maxTokens: 15 })));
			expect(got).toEqual(want);
		}
	});

	test("S15: logprobs are the model's own, whatever the filters", async () => {
		const session = open();
		const options = { ...sampled, topK: 2, repetitionPenalty: 1.2, seed: 1, maxTokens: 20, logprobs: 3 };
		const { yielded } = await collect(session.generate({ prompt, ...options }));
		const stream = [...ids(prompt), ...yielded.map(({ id }) => id)];
		const nll = await model.negativeLogLikelihoods(stream, { policy, from: ids(prompt).length });
		for (const [i, { logprob, topLogprobs = [] }] of yielded.entries()) {
			expect(logprob).toBeCloseTo(-(nll[i] as number), 4);
			expect(topLogprobs).toHaveLength(3);
			expect(topLogprobs[0]?.logprob).toBeGreaterThanOrEqual(logprob as number);
		}
		const [none] = (await collect(session.generate({ maxTokens: 1 }))).yielded;
		expect(none).not.toHaveProperty("logprob");
		const [zero] = (await collect(session.generate({ maxTokens: 1, logprobs: 0 }))).yielded;
		expect(zero?.topLogprobs).toEqual([]);
	});
});

describe("appending", () => {
	test("S16: an aborted append keeps the chunks that were read, and what was chosen", async () => {
		const session = open({ chunk: 8 });
		const first = await next(session, { prompt: "ab", maxTokens: 3 });
		const controller = new AbortController();
		const appended = session.append(prompt, {
			signal: controller.signal,
			onProgress: (read) => read >= 16 && controller.abort(new Error("enough")),
		});
		await expect(appended).rejects.toThrow("enough");
		// The pending token was read first, in the same chunks.
		expect(session.stats.length).toBe(2 + 3 + 15);
		const plain = open();
		await plain.append([...ids("ab"), ...first, ...ids(prompt).slice(0, 15)]);
		expect(await next(session)).toEqual(await next(plain));
		await expect(session.append("x", { signal: AbortSignal.abort() })).rejects.toThrow(/abort/);
		expect(session.stats.length).toBe(2 + 3 + 15 + 12);
	});

	test("S16: progress counts to the end", async () => {
		const seen: [number, number][] = [];
		await open({ chunk: 32 }).append(ids(prompt).slice(0, 70), { onProgress: (...step) => seen.push(step) });
		expect(seen).toEqual([
			[32, 70],
			[64, 70],
			[70, 70],
		]);
	});

	test("S17: whole turns leave", async () => {
		const session = open({ policy: parsePolicy("sink:2,rolling:30:turns") });
		for (let turn = 0; turn < 3; turn++) await session.append("0123456789", { turn: true });
		expect(session.stats).toMatchObject({ length: 30, retained: 30, evicted: 0 });
		await session.append("0123456789", { turn: true });
		// The sinks took two of the first turn; its other eight, and no part of the second, have left.
		expect(session.stats).toMatchObject({ length: 40, retained: 32, evicted: 8 });
		await session.append("01");
		expect(session.stats).toMatchObject({ length: 42, retained: 24, evicted: 18 });
	});

	test("S17: a mark on a session with a pending token is the appended one's", async () => {
		const [pending, plain] = [0, 1].map(() => open({ policy: parsePolicy("sink:2,rolling:30:turns") })) as [
			Session,
			Session,
		];
		const chosen = await next(pending, { prompt: "0123456789", maxTokens: 3 });
		await plain.append([...ids("0123456789"), ...chosen]);
		for (const session of [pending, plain]) {
			await session.append("0123456789", { turn: true });
			await session.append("0123456789abcdef");
		}
		expect(pending.stats).toEqual(plain.stats);
		expect(await next(pending)).toEqual(await next(plain));
	});
});

describe("rewind and fork", () => {
	test.each(["sink:4,rolling:28", "dense", "recompute:32"])(
		"S18: %s: rewound and read again, a session is where it was",
		async (text) => {
			const policy = parsePolicy(text);
			const stream = ids(prompt).slice(0, 15);
			const session = open({ policy });
			await session.append(stream);
			for (const count of [0, 1, 7, 15]) {
				session.rewind(count);
				expect(session.stats.length).toBe(15 - count);
				await session.append(stream.slice(15 - count));
			}
			const plain = open({ policy });
			await plain.append(stream);
			const want = await next(plain, { maxTokens: 15 });
			expect(await next(session, { maxTokens: 15 })).toEqual(want);
			// Of these tokens one is pending. What is forgotten comes again.
			for (const count of [1, 2, 9]) {
				session.rewind(count);
				expect(await next(session, { maxTokens: count })).toEqual(want.slice(-count));
			}
		},
	);

	test("S18: after a rewind to the start, a session is as new", async () => {
		const session = open();
		await session.append("Once");
		session.rewind(4);
		expect(session.stats).toMatchObject({ length: 0, retained: 0, evicted: 0 });
		expect(await next(session)).toEqual(await next(open()));
	});

	test.each([5, 100, -1, 1.5, Number.NaN])("S18: rewind(%d) of four tokens is an error", async (count) => {
		const session = open();
		await session.append("Once");
		expect(() => session.rewind(count)).toThrow(/^\[tok\/lm\] rewind: expected an integer from 0 to 4/);
		expect(session.stats.length).toBe(4);
	});

	test("S18: what has left cannot be rewound", async () => {
		const session = open();
		await session.append(prompt);
		expect(() => session.rewind(28)).toThrow(/from 0 to 27/);
		session.rewind(27);
		expect(await next(session)).toHaveLength(12);
	});

	test("S19: a fork goes on alike, then apart", async () => {
		const session = open();
		await collect(session.generate({ prompt, ...sampled, maxTokens: 9 }));
		const fork = session.fork();
		expect(fork.stats).toEqual(session.stats);
		const [a, b] = [await next(session, sampled), await next(fork, sampled)];
		expect(b).toEqual(a);
		await fork.append("something else");
		const alone = session.fork();
		expect(await next(session)).toEqual(await next(alone));
		session.dispose();
		expect(await next(fork)).toHaveLength(12);
	});
});

describe("one call at a time", () => {
	test("S20: a session that is busy says so, and other sessions are free", async () => {
		const session = open();
		const busy = /^\[tok\/lm\] \w+: the session is busy/;
		for await (const _ of session.generate({ prompt, ...greedy, maxTokens: 1 })) {
			expect(() => session.rewind(1)).toThrow(busy);
			expect(() => session.fork()).toThrow(busy);
			await expect(session.append("x")).rejects.toThrow(busy);
			await expect(session.save("never")).rejects.toThrow(busy);
			await expect(next(session)).rejects.toThrow(busy);
			expect(await next(open(), { prompt: "Once" })).toHaveLength(12);
		}
		await session.append("x");
	});

	test("S20: sessions of one model do not disturb each other", async () => {
		const want = [await next(open(), { prompt }), await next(open(), { prompt: "Once" })];
		const sessions = [open(), open({ policy: [dense()] })] as const;
		expect(await Promise.all([next(sessions[0], { prompt }), next(sessions[1], { prompt: "Once" })])).toEqual(
			want,
		);
	});

	test("S21: a disposed session has no bytes and does nothing more", async () => {
		const session = open();
		const generation = session.generate({ prompt, ...greedy });
		await generation.next();
		session.dispose();
		session.dispose();
		expect(session.stats.bytes).toBe(0);
		await expect(generation.next()).rejects.toThrow(/disposed/);
		await expect(session.append("x")).rejects.toThrow(/^\[tok\/lm\] the session was disposed/);
		expect(() => session.fork()).toThrow(/disposed/);
		expect(() => session.rewind(0)).toThrow(/disposed/);
		await expect(session.save("never")).rejects.toThrow(/disposed/);
	});

	test("S21: a model disposes its sessions", async () => {
		await withModel({}, async (other) => {
			const session = other.createSession({ policy });
			await session.append("Once");
			await other.dispose();
			await other.dispose();
			await expect(session.append("x")).rejects.toThrow(/disposed/);
			expect(() => other.createSession({ policy })).toThrow(/^\[tok\/lm\] the model was disposed/);
			await expect(other.prepare(policy)).rejects.toThrow(/disposed/);
			await expect(other.negativeLogLikelihoods([3, 4], { policy })).rejects.toThrow(/disposed/);
		});
	});
});

test.each(["rolling:1000000000", "sink:2000000000,rolling:4"])(
	"a policy larger than memory (%s) is an error at once",
	(text) => {
		const started = performance.now();
		expect(() => open({ policy: parsePolicy(text) })).toThrow(/^\[tok\/lm\] .*Choose a smaller window/);
		expect(performance.now() - started).toBeLessThan(1000);
	},
);
