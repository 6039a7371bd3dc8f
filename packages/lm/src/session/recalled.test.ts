/** What was recalled, on a tiny model: S36 of SPEC.md, against a reference that keeps lists. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePolicy } from "@tok/kv-cache";
import { describe, expect, test } from "vitest";
import type { RecalledPassage, Session } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { ReferenceDecoder, type ReferencePolicy } from "../testing/reference-decoder.ts";
import { resealed, sealedHeader } from "../testing/resealed.ts";
import { tinyConfig } from "../testing/tiny-model.ts";
import { joinBlocks } from "./recalled-passages.ts";
import type { SessionHeader } from "./session-file.ts";

const { folder, model } = await openTinyModel();
const greedy = { temperature: 0, ignoreEndOfText: true } as const;
const story = "The harbour was quiet when the clockmaker came home, and so it stayed until the morning. ";
const policy = parsePolicy("sink:4,memory:64/2x8,rolling:28");

const total = (passages: readonly RecalledPassage[]): number =>
	passages.reduce((sum, { mass }) => sum + mass, 0);

/** Reads a prompt token by token, so that each chooses for itself as in the reference, and generates. */
async function told(
	text: string,
	tokens: number,
): Promise<{ session: Session; stream: number[]; from: number }> {
	const prompt = model.tokenizer.encode(text);
	const session = model.createSession({ policy, chunk: 1 });
	await session.append(prompt);
	const { ids } = await collect(session.generate({ ...greedy, maxTokens: tokens }));
	// The last one is pending.
	return { session, stream: [...prompt, ...ids.slice(0, -1)], from: prompt.length };
}

/** Per layer, the mean share of a head's attention on tokens [start, end) of the stream. */
function referenceShares(
	stream: readonly number[],
	from: number,
): (layer: number, start: number, end: number) => number {
	const reference: ReferencePolicy = {
		sinks: 4,
		rolling: 28,
		positions: "in-cache",
		memory: { capacity: 64, recall: 2, blockSize: 8 },
	};
	const sums = Array.from({ length: tinyConfig.num_hidden_layers }, () => new Float64Array(stream.length));
	new ReferenceDecoder(folder).read(stream, reference, {
		onRecall(token, layer, on, weight) {
			const sum = sums[layer] as Float64Array;
			if (token >= from) sum[on] = (sum[on] as number) + weight;
		},
	});
	const heads = tinyConfig.num_attention_heads * (stream.length - from);
	return (layer, start, end) =>
		(sums[layer] as Float64Array).slice(start, end).reduce((sum, weight) => sum + weight, 0) / heads;
}

describe("S36: recalled()", () => {
	test.each([
		["nothing has left the archive", story.slice(0, 70), 14],
		["the archive is full, and goes on dropping", story.repeat(2).slice(0, 150), 30],
	])("is the reference's attention on each passage: %s", async (_, text, tokens) => {
		const { session, stream, from } = await told(text, tokens);
		const shares = referenceShares(stream, from);
		const passages = session.recalled();
		expect(passages.length).toBeGreaterThan(1);
		for (const { start, ids, text, mass, layers } of passages) {
			expect(ids).toEqual(stream.slice(start, start + ids.length));
			expect((start - 4) % 8).toBe(0);
			expect(text).toBe(model.tokenizer.decode(ids));
			for (const each of layers)
				expect(each.mass).toBeCloseTo(shares(each.layer, start, start + ids.length), 5);
			expect(mass).toBeCloseTo(layers.reduce((sum, each) => sum + each.mass, 0) / layers.length, 9);
			expect(layers.map((each) => each.mass)).toEqual(layers.map((each) => each.mass).sort((a, b) => b - a));
		}
		const masses = passages.map(({ mass }) => mass);
		expect(masses).toEqual([...masses].sort((a, b) => b - a));
		expect(total(passages)).toBeLessThanOrEqual(1);
		// Each block once, and all that the archive still holds.
		const held = session.stats.retained - 4;
		const first = stream.length - held;
		const starts = passages.flatMap(({ start, ids }) => ids.map((_, i) => start + i));
		expect(new Set(starts).size).toBe(starts.length);
		expect(Math.min(...starts)).toBeGreaterThanOrEqual(first);
		const whole =
			shares(0, first, stream.length) + shares(1, first, stream.length) + shares(2, first, stream.length);
		expect(total(passages)).toBeCloseTo(whole / 3, 5);
	});

	test("is the one block that there is", async () => {
		const { session, stream } = await told(story.slice(0, 4 + 28 + 8), 6);
		const passages = session.recalled();
		expect(passages).toHaveLength(1);
		expect(passages[0]).toMatchObject({ start: 4, ids: stream.slice(4, 12) });
		expect(passages[0]?.mass).toBeGreaterThan(0);
		expect(passages[0]?.mass).toBeLessThan(1);
	});

	test("counts the last generation alone, and neither prompts nor appended tokens", async () => {
		const { session } = await told(story, 12);
		const first = session.recalled();
		await session.append("a");
		await session.append(" few words");
		expect(total(session.recalled())).toBeLessThanOrEqual(total(first) + 1e-12);
		const again = model.createSession({ policy });
		await again.append(story.repeat(2));
		expect(again.recalled()).toEqual([]);
		await collect(again.generate({ ...greedy, maxTokens: 1 }));
		expect(again.recalled()).toEqual([]);
		await collect(again.generate({ ...greedy, maxTokens: 1 }));
		expect(again.recalled().length).toBeGreaterThan(0);
	});

	test("goes on in forks and files, apart from the session", async () => {
		for (const text of [story.slice(0, 70), story.repeat(2)]) {
			const { session } = await told(text, 12);
			await session.append(" a few words");
			const passages = session.recalled();
			expect(passages.length).toBeGreaterThan(1);
			const fork = session.fork();
			const path = join(folder, "told.session");
			await session.save(path);
			const restored = await model.restoreSession(path, { chunk: 1 });
			for (const other of [fork, restored]) expect(other.recalled()).toEqual(passages);
			// What is read on leaves the archive of each on its own.
			for (const each of [session, fork, restored]) await each.append("And so it stayed until the morning.");
			const left = session.recalled();
			for (const other of [fork, restored, fork.fork()]) expect(other.recalled()).toEqual(left);
			await collect(fork.generate({ ...greedy, prompt: "Who?", maxTokens: 5 }));
			expect(fork.recalled()).not.toEqual(left);
			expect(session.recalled()).toEqual(left);
		}
	});

	test("of a file whose header lies under a good checksum is refused", async () => {
		const { session } = await told(story, 12);
		const path = join(folder, "lying.session");
		await session.save(path);
		const whole = readFileSync(path);
		const { recalled } = sealedHeader<SessionHeader>(whole);
		const { blocks = [], shares = 0 } = recalled ?? {};
		expect(shares).toBe(blocks.length * 3 * 2);
		for (const change of [
			{ blocks: blocks.slice(1) },
			{ blocks: [...blocks, 0], shares: shares + 6 },
			{ blocks: blocks.map(() => blocks[0]) },
			{ blocks: blocks.map((block) => -block) },
			{ blocks: blocks.map((block) => block + 0.5) },
			{ blocks: "all" },
			{ places: 1e12 },
			{ places: 1 },
			{ tokens: -1 },
			{ shares: shares - 6 },
			{ shares: 1e12 },
			{ shares: "many" },
		]) {
			writeFileSync(path, resealed(whole, { recalled: { ...recalled, ...change } }));
			await expect(model.restoreSession(path), JSON.stringify(change)).rejects.toThrow(
				/not of this program's making|lacks a field|not as long as its header says/,
			);
		}
		writeFileSync(path, whole);
		expect((await model.restoreSession(path)).recalled()).toEqual(session.recalled());
	});

	test("has nothing without an archive, or before it holds a block", async () => {
		const plain = model.createSession({ policy: parsePolicy("sink:4,rolling:28") });
		await collect(plain.generate({ ...greedy, prompt: story, maxTokens: 4 }));
		expect(plain.recalled()).toEqual([]);
		const { session } = await told(story.slice(0, 20), 4);
		expect(session.recalled()).toEqual([]);
		session.dispose();
		expect(() => session.recalled()).toThrow("the session was disposed");
	});

	test("S5 S17: a pinned beginning is never archived, and turns that leave whole are recalled in order", async () => {
		const pin = model.tokenizer.encode("Be brief. ");
		const turns = parsePolicy("sink:4,memory:128/2x8,rolling:40:turns");
		const session = model.createSession({ policy: turns, pin, chunk: 16 });
		const stream = [...pin];
		for (const text of ["Who came home?", "And when did he?", "What is a harbour?", "Is it quiet?", "Why?"]) {
			const ids = model.tokenizer.encode(text, { addSpecialTokens: false });
			await session.append(ids, { turn: true });
			const answer = await collect(session.generate({ ...greedy, maxTokens: 11 }));
			stream.push(...ids, ...answer.ids);
		}
		const [sinks] = session.policy;
		expect(sinks?.slots).toBe(pin.length);
		const passages = session.recalled();
		expect(passages.length).toBeGreaterThan(1);
		for (const { start, ids } of passages) {
			expect(start).toBeGreaterThanOrEqual(pin.length);
			expect(ids).toEqual(stream.slice(start, start + ids.length));
		}
		const { length, retained, evicted } = session.stats;
		expect([retained + 1, evicted]).toEqual([length, 0]);
	});

	test("is the same with guesses: those that were not chosen do not count", async () => {
		const repeated = "one two three one two three ".repeat(5);
		const [plain, guessing] = [model.createSession({ policy }), model.createSession({ policy })];
		await plain.append(repeated);
		await guessing.append(repeated);
		await collect(plain.generate({ ...greedy, maxTokens: 60 }));
		const { speculation } = await collect(guessing.generate({ ...greedy, maxTokens: 60, speculate: 6 }));
		expect(speculation?.accepted).toBeGreaterThan(0);
		expect(speculation?.guessed).toBeGreaterThan(speculation?.accepted ?? 0);
		expectAlike(guessing.recalled(), plain.recalled());
	});

	test("is the same in a batch", async () => {
		const batch = model.createBatch({ policy, size: 3 });
		const prompts = [story, story.slice(9).repeat(2), story.slice(30)];
		const together = prompts.map(() => batch.createSession());
		const alone = prompts.map(() => model.createSession({ policy }));
		for (const [i, text] of prompts.entries()) {
			await together[i]?.append(text);
			await alone[i]?.append(text);
		}
		await Promise.all(together.map((each) => collect(each.generate({ ...greedy, maxTokens: 20 }))));
		for (const each of alone) await collect(each.generate({ ...greedy, maxTokens: 20 }));
		for (const [i, each] of together.entries())
			expectAlike(each.recalled(), alone[i]?.recalled() as readonly RecalledPassage[]);
		batch.dispose();
	});
});

function expectAlike(got: readonly RecalledPassage[], want: readonly RecalledPassage[]): void {
	expect(got.length).toBeGreaterThan(0);
	expect(got.map(({ start, ids }) => ({ start, ids }))).toEqual(
		want.map(({ start, ids }) => ({ start, ids })),
	);
	got.forEach(({ mass }, i) => {
		expect(mass).toBeCloseTo(want[i]?.mass as number, 5);
	});
}

test("S36: a passage is neighbours of at least half its best block's attention, whatever order they come in", () => {
	const block = (number: number, mass: number) => ({ block: number, shares: Float64Array.of(mass, 0) });
	const drawn = [block(5, 1), block(1, 9), block(3, 8), block(2, 10), block(4, 4), block(8, 10.5)];
	const ranges = (apart: (block: number) => boolean) =>
		joinBlocks(drawn, apart).map(({ first, end, shares }) => [first, end, shares[0]]);
	expect(ranges(() => false)).toEqual([
		[1, 4, 27],
		[8, 9, 10.5],
		[4, 5, 4],
		[5, 6, 1],
	]);
	expect(ranges((block) => block === 2)[0]).toEqual([1, 3, 19]);
});
