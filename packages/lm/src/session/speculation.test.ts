/** Guessed tokens on a tiny model: SPEC.md, S29 to S31. Every session is held to one that guesses nothing. */
import { rmSync } from "node:fs";
import { join } from "node:path";
import { formatPolicy, type Policy, parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { GeneratedToken, GenerateOptions, Session, SessionOptions } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { watchedRuntime } from "../testing/watched-runtime.ts";

/** Tokens of every run. */
const runs: number[] = [];
let failing = false;
const { folder, model } = await openTinyModel({
	runtime: watchedRuntime(cpu({ threads: 1 }), ({ tokens }) => {
		if (failing) throw new Error("the graph failed");
		runs.push(tokens);
	}),
});
const policy: Policy = parsePolicy("sink:4,rolling:28");
const greedy = { temperature: 0, ignoreEndOfText: true } as const;
/** A penalty that rewards: random weights do not repeat themselves of their own accord. */
const repeating = { ...greedy, repetitionPenalty: 0.3, repetitionWindow: 12 } as const;
/** It says everything twice, so that there is something to guess. */
const prompt = "The tide came in. The tide went out. The tide came in. The tide w";

const open = (options: Partial<SessionOptions> = {}): Session => model.createSession({ policy, ...options });

/** What a token says and where it leaves its session. */
type Step = GeneratedToken & { readonly stats: Session["stats"] };

/** Takes tokens, and breaks off after `count` of them. */
async function take(session: Session, options: GenerateOptions, count = Number.POSITIVE_INFINITY) {
	const steps: Step[] = [];
	const generation = session.generate(options);
	for (;;) {
		const step = await generation.next();
		if (step.done) {
			const { speculation, ...result } = step.value;
			return { steps, result, speculation };
		}
		steps.push({ ...step.value, stats: session.stats });
		if (steps.length < count) continue;
		await generation.return({ finishReason: "abort", tokens: 0 });
		return { steps, result: undefined, speculation: undefined };
	}
}

/** Equal but for the rounding of logits. */
function expectSame(got: readonly Step[], expected: readonly Step[]): void {
	const exact = ({ id, text, stats }: Step) => ({ id, text, ...stats });
	expect(got.map(exact)).toEqual(expected.map(exact));
	for (const [i, { logprob, topLogprobs }] of expected.entries()) {
		if (logprob === undefined) continue;
		expect(got[i]?.logprob).toBeCloseTo(logprob, 4);
		expect(got[i]?.topLogprobs?.map(({ id }) => id)).toEqual(topLogprobs?.map(({ id }) => id));
	}
}

describe("S29: the same stream", () => {
	const policies = [
		"sink:4,rolling:28",
		"rolling:9",
		"sink:3,rolling:2",
		"sink:2,rolling:30:turns",
		"rolling:12:turns",
		"dense",
		"sink:60,rolling:8",
		"recompute:8",
	];
	const session = fc.record({
		policy: fc.constantFrom(...policies),
		positions: fc.constantFrom("in-cache" as const, "original" as const),
		chunk: fc.constantFrom(1, 2, 5, 128),
	});
	const options = fc.record({
		temperature: fc.constantFrom(0, 0.4, 1, 2),
		seed: fc.option(fc.nat(100), { nil: undefined }),
		repetitionPenalty: fc.constantFrom(0.3, 0.3, 0.3, 1, 1.2),
		repetitionWindow: fc.constantFrom(6, 12, 64),
		maxTokens: fc.constantFrom(0, 1, 7, 60, 120),
		logprobs: fc.constantFrom(undefined, 2),
		stop: fc.constantFrom([], [], [], ["e t", "!"]),
		ignoreEndOfText: fc.constantFrom(true, true, false),
		speculate: fc.integer({ min: 1, max: 12 }),
	});
	const action = fc.oneof(
		{
			weight: 3,
			arbitrary: fc.record({
				kind: fc.constant("generate" as const),
				options,
				breakAfter: fc.constantFrom(1, 5, 17, 43, 200),
			}),
		},
		fc.record({
			kind: fc.constant("append" as const),
			text: fc.constantFrom("The tide", "x", prompt),
			turn: fc.boolean(),
		}),
		fc.record({ kind: fc.constant("rewind" as const), count: fc.constantFrom(1, 2, 3, 6) }),
		fc.record({ kind: fc.constantFrom("fork" as const, "save" as const) }),
	);

	test("whatever is done with the session, and wherever a loop is left", async () => {
		const counts = { guessed: 0, accepted: 0 };
		await fc.assert(
			fc.asyncProperty(
				session,
				fc.array(action, { minLength: 2, maxLength: 8 }),
				async ({ policy, ...more }, actions) => {
					let plain = open({ policy: parsePolicy(policy), ...more });
					let guessing = open({ policy: parsePolicy(policy), ...more });
					await Promise.all([plain.append(prompt), guessing.append(prompt)]);
					let seeded = false;
					for (const each of actions) {
						if (each.kind === "generate") {
							const { speculate, seed = seeded ? undefined : 1, ...rest } = each.options;
							const options = { ...rest, ...(seed !== undefined && { seed }) } as GenerateOptions;
							seeded = true;
							const expected = await take(plain, options, each.breakAfter);
							const got = await take(guessing, { ...options, speculate }, each.breakAfter);
							expectSame(got.steps, expected.steps);
							expect(got.result).toEqual(expected.result);
							counts.guessed += got.speculation?.guessed ?? 0;
							counts.accepted += got.speculation?.accepted ?? 0;
						} else if (each.kind === "append") {
							await plain.append(each.text, { turn: each.turn });
							await guessing.append(each.text, { turn: each.turn });
						} else if (each.kind === "rewind") {
							for (const one of [plain, guessing]) attempt(() => one.rewind(each.count));
						} else {
							[plain, guessing] = await Promise.all([moved(plain, each.kind), moved(guessing, each.kind)]);
						}
						expect(guessing.stats).toEqual(plain.stats);
					}
					const options = { ...greedy, maxTokens: 12, logprobs: 2 };
					expectSame((await take(guessing, options)).steps, (await take(plain, options)).steps);
					plain.dispose();
					guessing.dispose();
				},
			),
			{ numRuns: 100, seed: 1 },
		);
		// Without guesses of both kinds nothing has been shown.
		expect(counts.accepted).toBeGreaterThan(200);
		expect(counts.guessed - counts.accepted).toBeGreaterThan(50);
	}, 240_000);

	/** The session in another one: a fork, or restored from a file. */
	async function moved(from: Session, how: "fork" | "save"): Promise<Session> {
		const path = join(folder, `${Math.random()}.session`);
		try {
			if (how === "fork") return from.fork();
			await from.save(path);
			return await model.restoreSession(path, { chunk: 5 });
		} finally {
			from.dispose();
			rmSync(path, { force: true });
		}
	}

	function attempt(action: () => void): void {
		try {
			action();
		} catch (error) {
			expect(error).toHaveProperty("message", expect.stringMatching(/^\[tok\/lm\] rewind: /));
		}
	}

	test.each(["sink:4,rolling:28", "rolling:32", "dense", "sink:4,rolling:600"])(
		"%s: 700 tokens, past every eviction and growth of a buffer, saved at any of them",
		async (text) => {
			const options = { ...repeating, temperature: 0.5, seed: 3, maxTokens: 700 };
			const plain = await take(open({ policy: parsePolicy(text) }), { prompt, ...options });
			const session = open({ policy: parsePolicy(text) });
			const got = await take(session, { prompt, ...options, speculate: 8 });
			expectSame(got.steps, plain.steps);
			expect(got.speculation?.accepted).toBeGreaterThan(200);
			expect(got.speculation?.runs).toBeLessThan(500);
			const path = join(folder, `${formatPolicy(session.policy).replaceAll(/\W/g, "-")}.session`);
			await session.save(path);
			(await model.restoreSession(path)).dispose();
		},
		60_000,
	);

	test("buffers grow when they would without guesses, and a session can be restored from either side", async () => {
		const path = join(folder, "growing.session");
		const start = "ab".repeat(124);
		for (const policy of [parsePolicy("dense"), parsePolicy("rolling:600")]) {
			const [plain, session] = [open({ policy }), open({ policy })];
			await Promise.all([plain.append(start), session.append(start)]);
			for (let length = start.length + 1; length < 262; length++) {
				const expected = await take(plain, repeating, 1);
				const got = await take(session, { ...repeating, speculate: 9 }, 1);
				expectSame(got.steps, expected.steps);
				await session.save(path);
				const restored = await model.restoreSession(path);
				expect(restored.stats).toEqual(plain.stats);
				restored.dispose();
			}
			expect(session.stats.bytes).toBe(3 * open({ policy }).stats.bytes);
		}
	});
});

describe("S30: guesses and runs", () => {
	test("a guess that is right spares a run; those that are kept and those that are not are counted", async () => {
		const session = open();
		await session.append(prompt);
		runs.length = 0;
		const { steps, result, speculation } = await take(session, {
			...repeating,
			maxTokens: 120,
			speculate: 6,
		});
		expect(result).toEqual({ finishReason: "length", tokens: 120 });
		const counts = speculation ?? { guessed: 0, accepted: 0, runs: 0 };
		// The first token is chosen from what the prompt left.
		expect(counts.runs + counts.accepted).toBe(steps.length - 1);
		expect(counts.accepted).toBeGreaterThan(20);
		expect(runs).toHaveLength(counts.runs);
		expect(runs.reduce((sum, tokens) => sum + tokens)).toBe(counts.runs + counts.guessed);
		expect(Math.max(...runs)).toBe(7);
	});

	test("no more are read than may be chosen, nor than a chunk has", async () => {
		const session = open({ policy: parsePolicy("dense"), chunk: 4 });
		await session.append(prompt);
		runs.length = 0;
		await take(session, { ...repeating, maxTokens: 80, speculate: 100 });
		expect(Math.max(...runs)).toBe(4);
		runs.length = 0;
		// One is pending; reading it gives the first of three.
		await take(session, { ...repeating, maxTokens: 3, speculate: 100 });
		expect(runs.every((tokens) => tokens <= 3)).toBe(true);
	});

	test("0 guesses nothing, and the result says nothing of it", async () => {
		runs.length = 0;
		const { speculation, steps } = await take(open(), { prompt, ...greedy, maxTokens: 30, speculate: 0 });
		expect(speculation).toBeUndefined();
		expect(runs.filter((tokens) => tokens === 1)).toHaveLength(steps.length - 1);
	});

	test.each([-1, 1.5, Number.NaN])("speculate: %d is an error", async (speculate) => {
		const session = open();
		await expect(collect(session.generate({ prompt, speculate }))).rejects.toThrow(
			/^\[tok\/lm\] speculate: expected an integer ≥ 0/,
		);
		expect(session.stats.length).toBe(0);
	});

	test.each([
		["recompute", () => open({ policy: parsePolicy("recompute:16") })],
		["a batch", () => model.createBatch({ policy, size: 1 }).createSession()],
	])("nothing is guessed in %s, and the result says so", async (_, create) => {
		const session = create();
		const { speculation, steps } = await take(session, { prompt, ...greedy, maxTokens: 30, speculate: 8 });
		expect(speculation).toEqual({ guessed: 0, accepted: 0, runs: 0 });
		const plain = await take(open({ policy: session.policy }), { prompt, ...greedy, maxTokens: 30 });
		expect(steps.map(({ id }) => id)).toEqual(plain.steps.map(({ id }) => id));
		session.dispose();
	});
});

describe("S31: a loop that ends otherwise", () => {
	test("breaking off leaves a whole stream: forked, saved or rewound, it goes on as it would have", async () => {
		const options = { ...repeating, logprobs: 2 };
		const expected = (await take(open(), { prompt, ...options, maxTokens: 60 })).steps;
		const path = join(folder, "broken-off.session");
		let ahead = 0;
		for (let after = 20; after < 36; after++) {
			const session = open();
			await take(session, { prompt, ...options, speculate: 8 }, after);
			if ((runs.at(-1) ?? 0) > 1) ahead++;
			const fork = session.fork();
			await session.save(path);
			session.rewind(2);
			const rest = { ...options, maxTokens: 60 - after };
			for (const each of [fork, await model.restoreSession(path)])
				expectSame((await take(each, rest)).steps, expected.slice(after));
			// A window that was rewound is shorter, and sees less.
			expect(session.stats.length).toBe(prompt.length + after - 2);
			expect((await take(session, { ...options, maxTokens: 2 })).steps).toHaveLength(2);
		}
		expect(ahead).toBeGreaterThan(8);
	});

	test("the signal leaves what was chosen, whatever was read ahead", async () => {
		const expected = await take(open(), { prompt, ...repeating, maxTokens: 60 });
		for (const after of [20, 21, 22, 23, 24]) {
			const session = open();
			const controller = new AbortController();
			const generation = session.generate({
				prompt,
				...repeating,
				speculate: 8,
				signal: controller.signal,
			});
			for (let i = 0; i < after; i++) await generation.next();
			controller.abort();
			const { value } = await generation.next();
			expect(value).toMatchObject({ finishReason: "abort", tokens: after });
			const rest = await take(session, { ...repeating, maxTokens: 60 - after });
			expectSame(rest.steps, expected.steps.slice(after));
		}
	});

	test("a run that fails leaves what was chosen", async () => {
		const expected = await take(open(), { prompt, ...repeating, maxTokens: 60 });
		const session = open();
		const generation = session.generate({ prompt, ...repeating, speculate: 8 });
		let tokens = 0;
		for (; tokens < 25; tokens++) await generation.next();
		failing = true;
		const failed = async (): Promise<void> => {
			for (;;) {
				await generation.next();
				tokens++;
			}
		};
		await expect(failed()).rejects.toThrow("the graph failed");
		failing = false;
		const rest = await take(session, { ...repeating, maxTokens: 60 - tokens, speculate: 8 });
		expectSame(rest.steps, expected.steps.slice(tokens));
	});

	test("a session that is disposed within the loop says so, and breaking off is no error", async () => {
		for (const ends of [true, false]) {
			const session = open();
			const generation = session.generate({ prompt, ...repeating, speculate: 8 });
			for (let i = 0; i < 25; i++) await generation.next();
			session.dispose();
			if (ends) await generation.return({ finishReason: "abort", tokens: 25 });
			else await expect(generation.next()).rejects.toThrow(/disposed/);
			expect(session.stats.bytes).toBe(0);
		}
	});
});
