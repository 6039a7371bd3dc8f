/** Archives that the least recalled blocks leave, on a tiny model: S46 of SPEC.md, against a reference that keeps lists. */
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePolicy } from "@tok/kv-cache";
import { describe, expect, test } from "vitest";
import type { Session } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { ReferenceDecoder, type ReferencePolicy } from "../testing/reference-decoder.ts";
import { resealed, sealedHeader } from "../testing/resealed.ts";
import { tinyConfig } from "../testing/tiny-model.ts";
import { type ArchiveHeader, openArchive } from "./archive-file.ts";
import type { SessionHeader } from "./session-file.ts";

const { folder, model } = await openTinyModel();
const greedy = { temperature: 0, ignoreEndOfText: true } as const;
const story = "The harbour was quiet when the clockmaker came home, and so it stayed until the morning. ";
const policy = parsePolicy("sink:4,memory:64/2x4:least-recalled,rolling:20");
const reference: ReferencePolicy = {
	sinks: 4,
	rolling: 20,
	positions: "in-cache",
	memory: { capacity: 64, recall: 2, blockSize: 4, eviction: "least-recalled" },
};

interface Told {
	readonly session: Session;
	/** What it has read. */
	readonly stream: readonly number[];
}

/** Reads token by token, each of which chooses for itself, and generates. */
async function told(repeats: number, tokens: number): Promise<Told> {
	const prompt = model.tokenizer.encode(story.repeat(repeats));
	const session = model.createSession({ policy, chunk: 1 });
	await session.append(prompt);
	const { ids } = await collect(session.generate({ ...greedy, maxTokens: tokens }));
	return { session, stream: [...prompt, ...ids.slice(0, -1)] };
}

async function headerOf(session: Session): Promise<SessionHeader> {
	const path = join(folder, "header.session");
	await session.save(path);
	return sealedHeader<SessionHeader>(readFileSync(path));
}

const next = async (session: Session) =>
	(await collect(session.generate({ ...greedy, maxTokens: 30, logprobs: 0 }))).yielded.map(
		({ id, logprob }) => [id, (logprob as number).toFixed(3)],
	);

test("S36 S46: passages are those that the reference recalled, though blocks have changed places", async () => {
	// No words that come again: of equal blocks float32 may take another than float64.
	const prompt = Array.from(
		{ length: 250 },
		(_, i) => 10 + ((i * i * 7 + 4 * i + Math.floor(i / 7) * 13) % 140),
	);
	const session = model.createSession({ policy, chunk: 1 });
	await session.append(prompt);
	const { ids } = await collect(session.generate({ seed: 3, ignoreEndOfText: true, maxTokens: 40 }));
	const [stream, from] = [[...prompt, ...ids.slice(0, -1)], prompt.length];
	const sums = Array.from({ length: tinyConfig.num_hidden_layers }, () => new Float64Array(stream.length));
	new ReferenceDecoder(folder).read(stream, reference, {
		onRecall(token, layer, on, weight) {
			const sum = sums[layer] as Float64Array;
			if (token >= from) sum[on] = (sum[on] as number) + weight;
		},
	});
	const heads = tinyConfig.num_attention_heads * (stream.length - from);
	const passages = session.recalled();
	expect(passages.length).toBeGreaterThan(3);
	for (const { start, ids, layers } of passages) {
		expect(ids).toEqual(stream.slice(start, start + ids.length));
		for (const { layer, mass } of layers) {
			const fell = (sums[layer] as Float64Array).slice(start, start + ids.length);
			expect(mass).toBeCloseTo(fell.reduce((sum, weight) => sum + weight, 0) / heads, 5);
		}
	}
	// Blocks of another age than the oldest would leave are there, and out of order.
	const { arrivals = [] } = (await headerOf(session)).cache;
	expect(Math.max(...arrivals) - Math.min(...arrivals)).toBeGreaterThan(arrivals.length);
	expect(arrivals).not.toEqual([...arrivals].sort((a, b) => a - b));
});

test("S46: it is another archive than the oldest leave", async () => {
	const oldest = model.createSession({ policy: parsePolicy("sink:4,memory:64/2x4,rolling:20"), chunk: 1 });
	await oldest.append(story.repeat(3));
	expect(await next(oldest)).not.toEqual(await next((await told(3, 1)).session));
});

test("S46: forks, files, rewinds and guesses go on alike, wherever they begin", async () => {
	const { session } = await told(2, 1);
	for (let more = 0; more < 12; more++) {
		await session.append("now ");
		const path = join(folder, "between.session");
		const fork = session.fork();
		await session.save(path);
		const want = await next(session.fork());
		expect(await next(fork)).toEqual(want);
		const restored = await model.restoreSession(path, { chunk: 1 });
		expect(await next(restored.fork())).toEqual(want);
		// What a rewound token sent on stays, and what left for it: of both alike.
		const rewound = session.fork();
		for (const each of [rewound, restored]) {
			await each.append("then ");
			each.rewind(5);
		}
		expect(await next(restored)).toEqual(await next(rewound));
		const guesses = session.fork().generate({ ...greedy, maxTokens: 30, logprobs: 0, speculate: 6 });
		expect((await collect(guesses)).ids).toEqual(want.map(([id]) => id));
	}
});

describe("S37 S46: an archive file", () => {
	test("holds its blocks in the order in which they were read, and what was recalled of each", async () => {
		const { session, stream } = await told(3, 40);
		const path = join(folder, "chosen.tokmem");
		const { tokens, leftOut } = await session.saveArchive(path);
		expect(tokens).toBe(64);
		expect(leftOut.sinks + leftOut.dropped + tokens + leftOut.last).toBe(stream.length + 1);
		const opened = await openArchive(path);
		const { ids, header } = opened;
		opened.close();
		const at = stream.findIndex((_, i) => ids.slice(0, 4).every((id, j) => stream[i + j] === id));
		expect((at - 4) % 4).toBe(0);
		// The newest are the window's whole blocks.
		const whole = stream.length - 4 - ((stream.length - 4) % 4);
		expect(ids.slice(-20)).toEqual(stream.slice(4 + whole - 20, 4 + whole));
		expect(header.recalls).toHaveLength(16);
		expect(new Set(header.recalls).size).toBeGreaterThan(4);

		const begun = await model.createSessionWithArchive(path, { policy, chunk: 1 });
		const { blocks, cache } = await headerOf(begun);
		expect(blocks).toEqual({ ids, recalls: header.recalls });
		expect(cache.arrivals).toEqual(Array.from({ length: 16 }, (_, i) => i));
		// What was recalled most outlives what was not.
		await begun.append(story);
		const { cache: later } = await headerOf(begun);
		const best = (header.recalls as number[]).indexOf(Math.max(...(header.recalls as number[])));
		expect(later.arrivals).toContain(best);
		const held = (later.arrivals ?? []).filter((arrival) => arrival < 16);
		expect(held.length).toBeGreaterThan(0);
		expect(begun.stats.attached).toBe(64);
		await begun.saveArchive(path);
		const again = await openArchive(path);
		expect(again.ids).toHaveLength(64);
		again.close();
		// Any archive takes it, and one that was saved where the oldest leave.
		const oldest = parsePolicy("sink:4,memory:64/2x4,rolling:20");
		expect((await model.createSessionWithArchive(path, { policy: oldest })).stats.attached).toBe(64);
		const plain = model.createSession({ policy: oldest });
		await plain.append(story.repeat(2));
		await plain.saveArchive(path);
		const from = await model.createSessionWithArchive(path, { policy, chunk: 1 });
		expect((await headerOf(from)).blocks?.recalls).toEqual(new Array(16).fill(0));
		await from.append(story.repeat(2));
		expect(from.stats.retained).toBeLessThanOrEqual(4 + 64 + 4 + 20 + 3);
	});

	test("that lies about it under a good checksum is refused", async () => {
		const path = join(folder, "lying.tokmem");
		await (await told(2, 4)).session.saveArchive(path);
		const whole = readFileSync(path);
		const { recalls = [] } = sealedHeader<ArchiveHeader>(whole);
		for (const other of [[], recalls.slice(1), recalls.map(() => -1), recalls.map(() => null), "all", 3]) {
			writeFileSync(path, resealed(whole, { recalls: other }));
			await expect(openArchive(path), JSON.stringify(other)).rejects.toThrow("its header lacks a field");
		}
	});
});

test("S46: a session file whose blocks lie under a good checksum is refused", async () => {
	const { session } = await told(2, 4);
	const path = join(folder, "lying.session");
	await session.save(path);
	const whole = readFileSync(path);
	const { blocks } = sealedHeader<SessionHeader>(whole);
	if (blocks === undefined) throw new Error("no blocks");
	for (const change of [
		{ ids: [] },
		{ ids: blocks.ids.slice(1) },
		{ recalls: blocks.recalls.slice(1) },
		{ recalls: blocks.recalls.map(() => -1) },
		{ recalls: blocks.recalls.map(() => "many") },
	]) {
		writeFileSync(path, resealed(whole, { blocks: { ...blocks, ...change } }));
		await expect(model.restoreSession(path), JSON.stringify(change)).rejects.toThrow(
			/expected the 4 ids of each of \d+ blocks and how often they were recalled/,
		);
	}
	writeFileSync(path, resealed(whole, { blocks: { ...blocks, ids: blocks.ids.map(() => 1e6) } }));
	await expect(model.restoreSession(path)).rejects.toThrow("ids: expected integers from 0 to");
	for (const other of [{ ids: blocks.ids }, "all", null]) {
		writeFileSync(path, resealed(whole, { blocks: other }));
		await expect(model.restoreSession(path), JSON.stringify(other)).rejects.toThrow(
			"its header lacks a field",
		);
	}
	writeFileSync(path, resealed(whole, { blocks: undefined }));
	await expect(model.restoreSession(path)).rejects.toThrow("expected the 4 ids of each of");
});
