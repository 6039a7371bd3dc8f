/** Sessions that tell of attention, on a tiny model: S42 to S44 of SPEC.md. What they tell is held to a reference elsewhere. */
import { join } from "node:path";
import { parsePolicy } from "@tok/kv-cache";
import { describe, expect, test, vi } from "vitest";
import { loadModel } from "../load-model.ts";
import type { Session, TokenAttention } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { halfCpu } from "../testing/half-runtime.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { tinyConfig } from "../testing/tiny-model.ts";

const { folder, runtime, model } = await openTinyModel();
const loaded = vi.spyOn(runtime, "loadGraph");
const greedy = { temperature: 0, ignoreEndOfText: true } as const;
const story = "The harbour was quiet when the clockmaker came home, and so it stayed until the morning. ";
const policy = parsePolicy("sink:4,memory:64/2x8,rolling:28");

const open = (): Session => model.createSession({ policy, attention: true });

/** What the session tells, with every head's whole attention checked. */
function told(session: Session, tolerance = 1e-5): TokenAttention {
	const attention = session.attention() as TokenAttention;
	const { layers, heads, entries, weights, recalled, learned } = attention;
	expect([layers, heads]).toEqual([tinyConfig.num_hidden_layers, tinyConfig.num_attention_heads]);
	for (let row = 0; row < layers * heads; row++) {
		const on = weights.subarray(row * entries.length, (row + 1) * entries.length);
		const sum = on.reduce((total, weight) => total + weight, 0);
		expect(Math.abs(sum + (recalled[row] as number) + (learned[row] as number) - 1)).toBeLessThanOrEqual(
			tolerance,
		);
	}
	return attention;
}

function expectAlike(got: TokenAttention, want: TokenAttention): void {
	expect([got.token, got.entries]).toEqual([want.token, want.entries]);
	for (const part of ["weights", "recalled", "learned"] as const)
		got[part].forEach((weight, i) => {
			expect(weight).toBeCloseTo(want[part][i] as number, 5);
		});
}

describe("S42: attention() is of the token that was read last", () => {
	test("which a chosen one is not yet", async () => {
		const session = open();
		expect(session.attention()).toBeUndefined();
		await session.append(story);
		const { length } = model.tokenizer.encode(story);
		expect(told(session).token).toBe(length - 1);
		await collect(session.generate({ ...greedy, maxTokens: 3 }));
		expect(session.stats.length).toBe(length + 3);
		expect(told(session).token).toBe(length + 1);
		const { recalled } = told(session);
		expect(Math.max(...recalled)).toBeGreaterThan(0);
		expect(told(session).learned.every((weight) => weight === 0)).toBe(true);
	});

	test("with guesses as without", async () => {
		const repeated = "one two three one two three ".repeat(5);
		const [plain, guessing] = [open(), open()];
		const tell = async (session: Session, speculate: number): Promise<TokenAttention[]> => {
			await session.append(repeated);
			const each: TokenAttention[] = [];
			const generation = session.generate({ ...greedy, maxTokens: 40, speculate });
			for (let step = await generation.next(); ; step = await generation.next()) {
				if (step.done) {
					if (speculate > 0) expect(step.value.speculation?.accepted).toBeGreaterThan(0);
					return each;
				}
				each.push(told(session));
			}
		};
		const [want, got] = [await tell(plain, 0), await tell(guessing, 6)];
		expect(got).toHaveLength(want.length);
		got.forEach((each, i) => {
			expectAlike(each, want[i] as TokenAttention);
		});
	});

	test("and of none after a rewind, until the next is read", async () => {
		const session = open();
		await session.append(story);
		session.rewind(2);
		expect(session.attention()).toBeUndefined();
		await session.append("a");
		expect(told(session).token).toBe(session.stats.length - 1);
	});

	test("in `fast` too", async () => {
		await using fast = await loadModel(folder, { runtime, precision: "fast" });
		const session = fast.createSession({ policy, attention: true });
		await session.append(story);
		await collect(session.generate({ ...greedy, maxTokens: 5 }));
		expect(told(session).entries.length).toBeGreaterThan(32);
	});

	test("in half precision too, to three digits", async () => {
		await using half = halfCpu({ threads: 1 });
		await using fast = await loadModel(folder, { runtime: half, precision: "fast" });
		const session = fast.createSession({ policy: parsePolicy("sink:4,rolling:28"), attention: true });
		await session.append(story);
		expect(told(session, 1e-3).entries).toHaveLength(33);
	});
});

describe("S44: it is asked for", () => {
	test("by a session's option, and costs a graph then alone", async () => {
		await using fresh = await loadModel(folder, { runtime });
		const before = loaded.mock.calls.length;
		const plain = fresh.createSession({ policy });
		await plain.append(story);
		await plain.fork().append("a");
		expect(loaded).toHaveBeenCalledTimes(before + 1);
		expect(() => plain.attention()).toThrow(
			"[tok/lm] attention: expected a session with attention, got one without.",
		);
		await fresh.prepare(policy, { attention: true });
		expect(loaded).toHaveBeenCalledTimes(before + 2);
		const telling = fresh.createSession({ policy, attention: true });
		await telling.append(story);
		expect(loaded).toHaveBeenCalledTimes(before + 2);
		telling.dispose();
		expect(() => telling.attention()).toThrow("the session was disposed");
	});

	test("goes on in forks; a restored session, and one with an archive, are asked anew", async () => {
		const session = open();
		await session.append(story.repeat(2));
		const fork = session.fork();
		expect(told(fork)).toEqual(told(session));
		await fork.append("a");
		expect(told(fork).token).toBe(told(session).token + 1);

		const path = join(folder, "telling.session");
		await session.save(path);
		const silent = await model.restoreSession(path);
		expect(() => silent.attention()).toThrow("expected a session with attention");
		const restored = await model.restoreSession(path, { attention: true });
		expect(restored.attention()).toBeUndefined();
		await restored.append("a");
		expectAlike(told(restored), told(fork));

		const archive = join(folder, "telling.archive");
		await session.saveArchive(archive);
		const attached = await model.createSessionWithArchive(archive, { policy, attention: true });
		await attached.append("The harbour");
		expect(told(attached).entries).toHaveLength(attached.stats.length);
		expect(Math.max(...told(attached).recalled)).toBeGreaterThan(0);
	});

	test("not in a batch", async () => {
		using batch = model.createBatch({ policy, size: 2 });
		const refusal = "[tok/lm] createSession: expected no attention in a batch, got { attention: true }";
		expect(() => batch.createSession({ attention: true })).toThrow(refusal);
		await expect(batch.createSessionWithArchive("none", { attention: true })).rejects.toThrow(refusal);
		expect(batch.open).toBe(0);
	});
});
