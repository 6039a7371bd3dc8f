/** Batches on a tiny model, rule by rule: SPEC.md. */
import { rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { dense, type Policy, parsePolicy, recompute, rolling, sink } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { describe, expect, test } from "vitest";
import { loadModel } from "../load-model.ts";
import type { Session, SessionOptions } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { type Run, watchedRuntime } from "../testing/watched-runtime.ts";

const runs: Run[] = [];
const { folder, runtime, model } = await openTinyModel({
	runtime: watchedRuntime(cpu({ threads: 1 }), (run) => runs.push(run)),
});
const policy: Policy = [sink(4), rolling(28)];
const greedy = { temperature: 0, ignoreEndOfText: true, logprobs: 0 } as const;

const texts = [
	"The harbour was quiet when the clockmaker came home, and so it stayed until the tide turned again.",
	"A",
	"Once upon a time",
	"Nobody had seen the lighthouse keeper since the storm, which had taken his boat and most of the pier.",
];

/** Ids and ln p of a greedy continuation. */
async function continuation(session: Session, prompt: string, maxTokens = 40) {
	const { yielded } = await collect(session.generate({ ...greedy, prompt, maxTokens }));
	return yielded.map(({ id, logprob }) => ({ id, logprob: logprob as number }));
}

type Continuation = Awaited<ReturnType<typeof continuation>>;

function expectSame(got: Continuation, expected: Continuation): void {
	expect(got.map(({ id }) => id)).toEqual(expected.map(({ id }) => id));
	for (const [i, { logprob }] of got.entries())
		expect(logprob).toBeCloseTo(expected[i]?.logprob as number, 4);
}

describe("sessions of a batch", () => {
	test("S26: whatever their lengths, policies and positions, they go on as alone", async () => {
		const options: SessionOptions[] = [
			{ policy },
			{ policy, positions: "original" },
			{ policy: [sink(2), rolling(9)], chunk: 5 },
			{ policy: [sink(4), rolling(20, { turns: true })], pin: "Be" },
		];
		const alone = await Promise.all(
			options.map(async (each, i) => {
				using session = model.createSession(each);
				return await continuation(session, texts[i] as string);
			}),
		);
		using batch = model.createBatch({ policy, size: 4 });
		runs.length = 0;
		const together = await Promise.all(
			options.map((each, i) => continuation(batch.createSession(each), texts[i] as string)),
		);
		for (const [i, got] of together.entries()) expectSame(got, alone[i] as Continuation);
		expect(runs.filter(({ rows }) => rows === 4).length).toBeGreaterThanOrEqual(35);
	});

	test("S26: more than a window of a real size, whose buffers grow alone and not in a batch", async () => {
		const wide: Policy = [sink(4), rolling(600)];
		const prompt = texts.join(" ").repeat(3);
		using session = model.createSession({ policy: wide });
		const alone = await continuation(session, prompt, 8);
		using batch = model.createBatch({ policy: wide, size: 2 });
		const both = await Promise.all([0, 1].map(() => continuation(batch.createSession(), prompt, 8)));
		for (const got of both) expectSame(got, alone);
	});

	test("S26: steps that are wanted together are one run, and one that nobody wants holds up none", async () => {
		using batch = model.createBatch({ policy, size: 3 });
		const sessions = texts.slice(0, 3).map(() => batch.createSession());
		await Promise.all(sessions.map((session) => session.append("A")));
		runs.length = 0;
		const [first, second, idle] = sessions.map((session) => session.generate({ ...greedy }));
		await idle?.next();
		for (let step = 0; step < 6; step++) await Promise.all([first?.next(), second?.next()]);
		// Appended together, so that no run was needed for anyone's first token.
		expect(runs).toEqual(new Array(5).fill({ rows: 2, tokens: 1 }));
		await Promise.all([first?.return({ finishReason: "abort", tokens: 6 }), idle?.next()]);
		expect(runs.at(-1)).toEqual({ rows: 1, tokens: 1 });
	});

	test("S26: a place between those that step is computed and means nothing", async () => {
		using alone = model.createSession({ policy });
		const expected = await continuation(alone, texts[0] as string);
		using batch = model.createBatch({ policy, size: 3 });
		const [left, middle, right] = texts.slice(0, 3).map(() => batch.createSession());
		await middle?.append(texts[2] as string);
		const got = await Promise.all(
			[left, right].map((session) => continuation(session as Session, texts[0] as string)),
		);
		for (const each of got) expectSame(each, expected);
		using same = model.createSession({ policy });
		expectSame(await continuation(middle as Session, "!"), await continuation(same, `${texts[2]}!`));
	});
});

describe("places", () => {
	test("S27: there are as many as the batch's size, and a disposed session's is free again", async () => {
		using batch = model.createBatch({ policy, size: 2 });
		expect(batch).toMatchObject({ size: 2, open: 0, policy });
		const sessions = [batch.createSession(), batch.createSession()];
		expect(batch.open).toBe(2);
		expect(() => batch.createSession()).toThrow(/^\[tok\/lm\] createSession: .*free place/);
		await sessions[0]?.append(texts[0] as string);
		sessions[0]?.dispose();
		expect(batch.open).toBe(1);
		using alone = model.createSession({ policy });
		const expected = await continuation(alone, texts[3] as string);
		expectSame(await continuation(batch.createSession(), texts[3] as string), expected);
	});

	test.each<[string, Partial<SessionOptions>]>([
		["larger", { policy: [sink(4), rolling(29)] }],
		["with another segment", { policy: [rolling(28)] }],
		["with a pinned beginning that is too long", { pin: "Once upon" }],
		["without a bound", { policy: [sink(4), dense()] }],
	])("S27: a policy %s does not fit", (_, options) => {
		using batch = model.createBatch({ policy, size: 1 });
		expect(() => batch.createSession(options)).toThrow(
			/^\[tok\/lm\] createSession: expected a policy within/,
		);
		expect(batch.open).toBe(0);
		batch.createSession();
	});

	test("S27: a batch needs a bound, and a size", () => {
		for (const unbounded of [[dense()], [sink(1), dense()], [recompute(8)]])
			expect(() => model.createBatch({ policy: unbounded, size: 2 })).toThrow(
				/createBatch: expected a policy/,
			);
		for (const size of [0, -1, 0.5])
			expect(() => model.createBatch({ policy, size })).toThrow(/expected a size that is an integer ≥ 1/);
		expect(() => model.createBatch({ policy: [rolling(1000)], size: 1e9 })).toThrow(/memory/);
		expect(() => model.createBatch({ policy: [rolling(8), sink(1)], size: 1 })).toThrow(/^\[tok\/kv-cache\]/);
	});

	test("S27: a session that cannot be leaves its place free", () => {
		using batch = model.createBatch({ policy, size: 1 });
		const positions = "sideways" as "original";
		for (let i = 0; i < 3; i++) expect(() => batch.createSession({ positions })).toThrow(/positions/);
		expect(batch.open).toBe(0);
		batch.createSession();
	});
});

describe("lifetime", () => {
	test("S22 S26: a session smaller than the batch is saved, and goes on alone in the batch's buffers", async () => {
		const path = join(tmpdir(), `tok-batch-${process.pid}.toksession`);
		const batch = model.createBatch({ policy: parsePolicy("sink:4,rolling:60"), size: 2 });
		const session = batch.createSession({ policy: parsePolicy("sink:4,rolling:28") });
		await session.append("The harbour was quiet when the clockmaker came home, and so it stayed.");
		await session.save(path);
		const restored = await model.restoreSession(path);
		expect(restored.stats).toEqual(session.stats);
		const options = { temperature: 0, ignoreEndOfText: true, maxTokens: 12 } as const;
		expect((await collect(restored.generate(options))).ids).toEqual(
			(await collect(session.generate(options))).ids,
		);
		batch.dispose();
		rmSync(path);
	});

	test("S28: a fork is on its own and goes on alike", async () => {
		using batch = model.createBatch({ policy, size: 1 });
		const session = batch.createSession();
		await session.append(texts[0] as string);
		using fork = session.fork();
		const [got, expected] = await Promise.all([continuation(fork, "!"), continuation(session, "!")]);
		expectSame(got, expected);
		batch.dispose();
		await fork.append("still here");
	});

	test("S28: dispose rejects what waits, disposes the sessions, and may be repeated", async () => {
		const batch = model.createBatch({ policy, size: 2 });
		const session = batch.createSession();
		await session.append(texts[0] as string);
		const generation = session.generate(greedy);
		await generation.next();
		const waiting = generation.next();
		const outcome = expect(waiting).rejects.toThrow(/disposed/);
		batch.dispose();
		await outcome;
		batch.dispose();
		await expect(session.append("x")).rejects.toThrow(/disposed/);
		expect(() => batch.createSession()).toThrow(/disposed/);
	});

	test("S28: a model disposes its batches", async () => {
		const other = await loadModel(folder, { runtime });
		const batch = other.createBatch({ policy, size: 1 });
		const session = batch.createSession();
		await session.append("Once");
		await other.dispose();
		await expect(session.append("x")).rejects.toThrow(/disposed/);
		expect(() => other.createBatch({ policy, size: 1 })).toThrow(/disposed/);
	});
});
