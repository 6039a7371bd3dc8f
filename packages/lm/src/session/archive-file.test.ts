/** Archives apart from sessions, on a tiny model: S37 to S39 of SPEC.md. */
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parsePolicy } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../load-model.ts";
import type { Session, SessionOptions } from "../model.ts";
import { logSoftmaxAt } from "../sampling/logprobs.ts";
import { collect } from "../testing/collect.ts";
import { collector } from "../testing/collector.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { ReferenceDecoder, type ReferencePolicy } from "../testing/reference-decoder.ts";
import { resealed, sealedHeader } from "../testing/resealed.ts";
import { removeFolder, tinyConfig, tinyModelFolder } from "../testing/tiny-model.ts";
import { type ArchiveHeader, inspectArchive, openArchive } from "./archive-file.ts";

const { folder, runtime, model } = await openTinyModel();
const greedy = { temperature: 0, ignoreEndOfText: true } as const;
const book = "The harbour was quiet when the clockmaker came home, and so it stayed until the morning. ";
const question = "Who came home, and when?";
const text = "sink:4,memory:64/2x8,rolling:28";
const policy = parsePolicy(text);
const path = join(folder, "book.tokmem");

async function reader(options: Partial<SessionOptions> = {}, read = book): Promise<Session> {
	const session = model.createSession({ policy, chunk: 1, ...options });
	await session.append(read);
	return session;
}

const open = (options: Partial<SessionOptions> = {}): Promise<Session> =>
	model.createSessionWithArchive(path, { policy, chunk: 1, ...options });

const ask = async (session: Session, maxTokens = 24) =>
	(await collect(session.generate({ ...greedy, prompt: question, maxTokens }))).ids;

async function rejection(attempt: Promise<unknown>): Promise<string> {
	const error = await attempt.then(
		() => expect.fail("it was not refused"),
		(error: unknown) => error,
	);
	expect(TokError.isInstance(error), String(error)).toBe(true);
	return (error as Error).message;
}

const reference: ReferencePolicy = {
	sinks: 4,
	rolling: 28,
	positions: "in-cache",
	memory: { capacity: 64, recall: 2, blockSize: 8 },
};

describe("S37: an archive on its own", () => {
	test("holds archived tokens and the window's whole blocks, and says what it leaves out", async () => {
		const ids = model.tokenizer.encode(book);
		expect(ids).toHaveLength(89);
		const tale = book.slice(0, 60);
		expect(await (await reader({}, tale)).saveArchive(path)).toMatchObject({
			tokens: 56,
			leftOut: { sinks: 4, dropped: 0, last: 0 },
		});
		// A token that was chosen and not read is left out too.
		const session = await reader();
		await collect(session.generate({ ...greedy, maxTokens: 3 }));
		const progress: number[][] = [];
		const onProgress = (...at: number[]) => progress.push(at);
		const { tokens, leftOut, bytes } = await session.saveArchive(path, { onProgress });
		// Of 87 tokens after the sinks 80 make whole blocks, and the memory keeps 64.
		expect({ tokens, leftOut }).toEqual({ tokens: 64, leftOut: { sinks: 4, dropped: 16, last: 8 } });
		expect(progress).toEqual([8, 16, 24, 32, 40, 48, 56, 64].map((done) => [done, 64]));
		expect(readFileSync(path)).toHaveLength(bytes);
		expect(await inspectArchive(path)).toEqual({
			path,
			tokens: 64,
			blockSize: 8,
			heads: [0, 1, 2].map((layer) => ({ layer, heads: [0, 1] })),
			precision: "exact",
			format: "float32",
			model: expect.stringMatching(/^[0-9a-f]{64}$/),
			bytes,
		});
		const opened = await openArchive(path);
		expect(opened.ids).toEqual(ids.slice(4 + 16, 4 + 80));
		opened.close();
		// Without paths: the same bytes, from a Blob the same archive.
		const { stream, bytes: streamed } = collector();
		expect(await session.saveArchive(stream)).toEqual({ tokens, leftOut, bytes });
		expect(Buffer.compare(streamed(), readFileSync(path))).toBe(0);
		const file = new File([streamed()], "my.tokmem");
		expect(await inspectArchive(file)).toEqual({ ...(await inspectArchive(path)), path: "my.tokmem" });
		const begun = await model.createSessionWithArchive(file, { policy });
		expect(begun.stats.attached).toBe(64);
	});

	test.each([
		["all of it in the window of the reader", book.slice(0, 30)],
		["partly in its archive", book.slice(0, 85)],
		["more than its archive keeps", book.repeat(2)],
	])("is recalled as the reference recalls what it has read itself: %s", async (_, read) => {
		const session = await reader({}, read);
		await session.saveArchive(path);
		const fresh = await open();
		const prompt = model.tokenizer.encode(question);
		await fresh.append(prompt);
		const { yielded, ids } = await collect(fresh.generate({ ...greedy, maxTokens: 40, logprobs: 1 }));
		const oracle = new ReferenceDecoder(folder);
		const all = oracle.archiveOf(model.tokenizer.encode(read), reference);
		const archive = all.slice(-64);
		const shares = new Map<number, number>();
		const logits = oracle.read([...prompt, ...ids.slice(0, -1)], reference, {
			archive,
			// What is attached has indices of another stream.
			onRecall: (token, _, on, weight) =>
				token >= prompt.length && shares.set(on, (shares.get(on) ?? 0) + weight),
		});
		yielded.forEach(({ id, logprob }, i) => {
			const row = Float32Array.from(logits[prompt.length - 1 + i] as Float64Array);
			expect(logprob).toBeCloseTo(logSoftmaxAt(row, id), 4);
		});
		const [without] = oracle.read(prompt, reference);
		const [first] = oracle.read(prompt, reference, { archive });
		expect(first).not.toEqual(without);
		const mass = fresh.recalled().reduce((sum, passage) => sum + passage.mass, 0);
		const heads = 3 * tinyConfig.num_attention_heads * (ids.length - 1);
		const want = [...shares.values()].reduce((sum, weight) => sum + weight, 0) / heads;
		// Of what was dropped meanwhile nothing is told.
		if (archive.length < 64) expect(mass).toBeCloseTo(want, 5);
		else expect(mass).toBeLessThanOrEqual(want + 1e-5);
	});

	test("is counted apart from the stream, and named as the source of what is recalled", async () => {
		const ids = model.tokenizer.encode(book);
		await (await reader({}, book.slice(0, 60))).saveArchive(path);
		const session = await open();
		expect(session.stats).toMatchObject({ length: 0, attached: 56, retained: 56, evicted: 0 });
		await session.append(question);
		await collect(session.generate({ ...greedy, maxTokens: 30 }));
		const { length, attached, retained, evicted } = session.stats;
		expect(retained + evicted + 1).toBe(length + attached);
		const passages = session.recalled();
		const sources = passages.map(({ source }) => source);
		expect(new Set(sources)).toEqual(new Set(["archive", "stream"]));
		for (const { source, start, ids: got, text } of passages) {
			expect(text).toBe(model.tokenizer.decode(got));
			if (source === "archive") expect(got).toEqual(ids.slice(4 + start, 4 + start + got.length));
			else expect(start).toBeGreaterThanOrEqual(4);
		}
	});

	test("goes on in forks, files and rewinds of the session", async () => {
		await (await reader({}, book.slice(0, 60))).saveArchive(path);
		const session = await open();
		await ask(session, 9);
		const fork = session.fork();
		const saved = join(folder, "asked.session");
		await session.save(saved);
		const restored = await model.restoreSession(saved, { chunk: 1 });
		expect(restored.stats).toEqual(session.stats);
		const want = await ask(session);
		const passages = session.recalled();
		expect(passages.some(({ source }) => source === "archive")).toBe(true);
		for (const other of [fork, restored]) {
			expect(await ask(other)).toEqual(want);
			expect(other.recalled()).toEqual(passages);
			expect(other.stats).toEqual(session.stats);
		}
		const asked = await open();
		await ask(asked, 4);
		asked.rewind(asked.stats.length);
		expect(asked.stats).toMatchObject({ length: 0, attached: 56, retained: 56 });
		expect(await ask(asked, 9)).toEqual(await ask(await open(), 9));
	});

	test("begins sessions of a batch, which go on as alone", async () => {
		await (await reader({}, book.slice(0, 60))).saveArchive(path);
		const batch = model.createBatch({ policy, size: 3 });
		const options = { chunk: 1 };
		const together = await Promise.all([
			batch.createSessionWithArchive(path, options),
			batch.createSessionWithArchive(new Blob([readFileSync(path)]), options),
		]);
		together.push(batch.createSession(options));
		expect(together.map(({ stats }) => stats.attached)).toEqual([56, 56, 0]);
		expect(await rejection(batch.createSessionWithArchive(path))).toContain("expected a free place");
		const alone = [await open(), await open(), model.createSession({ policy, chunk: 1 })];
		const prompts = [question, "When was the harbour quiet?", question];
		const answer = async (session: Session, i: number) =>
			(await collect(session.generate({ ...greedy, prompt: prompts[i] as string, maxTokens: 40 }))).ids;
		const answers = await Promise.all(together.map(answer));
		for (const [i, session] of alone.entries()) {
			expect(answers[i]).toEqual(await answer(session, i));
			const passages = together[i]?.recalled() ?? [];
			expect(passages.map(({ source, start }) => ({ source, start }))).toEqual(
				session.recalled().map(({ source, start }) => ({ source, start })),
			);
		}
		expect(together[0]?.recalled().some(({ source }) => source === "archive")).toBe(true);
		// A place that could not be filled is free again, and what its buffers held before is not recalled.
		together[0]?.dispose();
		const stop = new AbortController();
		const begun = batch.createSessionWithArchive(path, {
			signal: stop.signal,
			onProgress: (tokens) => tokens >= 16 && stop.abort(new Error("stopped")),
		});
		await expect(begun).rejects.toThrow("stopped");
		const plain = batch.createSession(options);
		expect(await answer(plain, 0)).toEqual(answers[2]);
		batch.dispose();
		expect(await rejection(batch.createSessionWithArchive(path))).toContain("disposed");
	});

	test("grows by what a session reads on", async () => {
		await (await reader({}, book.slice(0, 30))).saveArchive(path);
		const session = await open();
		await session.append("And a second book, about the mill.");
		const both = await session.saveArchive(path);
		expect(both).toMatchObject({ tokens: 24 + 24, leftOut: { sinks: 4, dropped: 0, last: 6 } });
		const opened = await openArchive(path);
		expect(model.tokenizer.decode(opened.ids)).toBe(
			`${book.slice(4, 28)}${"And a second book, about the mill.".slice(4, 28)}`,
		);
		opened.close();
		expect(await ask(await open())).toHaveLength(24);
	});

	test("is that of the memory layers alone; and pins, turns and other windows may differ", async () => {
		const some = await loadModel(folder, { runtime, memoryHeads: [{ layer: 0 }, { layer: 2 }] });
		const session = some.createSession({ policy });
		await session.append(book);
		const { bytes, tokens } = await session.saveArchive(path);
		expect((await inspectArchive(path)).heads).toEqual([0, 2].map((layer) => ({ layer, heads: [0, 1] })));
		const { kvHeads, headDim } = model.info;
		expect(bytes).toBeGreaterThan(tokens * (4 + 2 * 2 * kvHeads * headDim * 4));
		expect(bytes).toBeLessThan(tokens * (4 + 2 * 2 * kvHeads * headDim * 4) + 400);
		const merging = parsePolicy("sink:1,compressive:8/2/mean,memory:128/3x8,rolling:60:turns");
		// What an archive sends on has to be there in every layer.
		expect(await rejection(some.createSessionWithArchive(path, { policy: merging }))).toContain(
			"expected an archive of the memory heads 0.0,0.1,1.0,1.1,2.0,2.1, got 0.0,0.1,2.0,2.1.",
		);
		const asked = await some.createSessionWithArchive(path, {
			policy: parsePolicy("sink:1,memory:128/3x8,rolling:60:turns"),
			pin: "Answer briefly.",
		});
		await asked.append(question, { turn: true });
		await collect(asked.generate({ ...greedy, maxTokens: 12 }));
		expect(asked.recalled()[0]?.source).toBe("archive");
		await some.dispose();
	});

	test("needs a memory that takes what the window drops, and a whole block", async () => {
		for (const text of ["sink:4,rolling:28", "memory:64/2x8,compressive:16/2/mean,rolling:28"]) {
			const session = await reader({ policy: parsePolicy(text) });
			expect(await rejection(session.saveArchive(path))).toBe(
				`[tok/lm] saveArchive: expected a policy whose memory takes what the window drops, got ${text}. ` +
					"Write one such as sink:4,memory:4096/8x16,rolling:1020.",
			);
			expect(await rejection(open({ policy: parsePolicy(text) }))).toContain(
				`${path}: expected a policy whose memory takes what the window drops, got ${text}.`,
			);
		}
		const session = await reader({}, book.slice(0, 11));
		expect(await rejection(session.saveArchive(path))).toMatch(
			/expected at least a block of 8 tokens .*, got 11/,
		);
	});

	test("is written aside and renamed: an interruption or a failure leaves nothing, and the session usable", async () => {
		const own = join(folder, "own");
		mkdirSync(join(own, "taken", "inside"), { recursive: true });
		const session = await reader();
		const stop = new AbortController();
		const saving = session.saveArchive(join(own, "a"), {
			signal: stop.signal,
			onProgress: (tokens) => tokens > 16 && stop.abort(new Error("stopped")),
		});
		await expect(saving).rejects.toThrow("stopped");
		expect(await rejection(session.saveArchive(join(own, "taken")))).toContain("could not be written");
		expect(readdirSync(own)).toEqual(["taken"]);
		await session.saveArchive(join(own, "a"));
		expect(readdirSync(own)).toEqual(["a", "taken"]);
		expect(await ask(session)).toHaveLength(24);
		const generation = session.generate(greedy);
		await generation.next();
		expect(await rejection(session.saveArchive(join(own, "b")))).toContain("the session is busy");
		await generation.return({ finishReason: "abort", tokens: 1 });
		session.dispose();
		expect(await rejection(session.saveArchive(join(own, "b")))).toContain("the session was disposed");
	});
});

describe("S38: an archive of another", () => {
	beforeAll(async () => {
		await (await reader({}, book.slice(0, 60))).saveArchive(path);
	});

	test("model, or precision", async () => {
		const other = tinyModelFolder({ config: { rope_theta: 500 } });
		const loaded = await loadModel(other, { runtime });
		expect(await rejection(loaded.createSessionWithArchive(path, { policy }))).toMatch(
			/book\.tokmem: expected an archive of the model [0-9a-f]{64}, got [0-9a-f]{64}\. Load the model that read it\.$/,
		);
		await loaded.dispose();
		removeFolder(other);
		const fast = await loadModel(folder, { runtime, precision: "fast" });
		expect(await rejection(fast.createSessionWithArchive(path, { policy }))).toContain(
			"expected an archive of the precision fast, got exact. Load the model as exact.",
		);
		await fast.dispose();
	});

	test("choice of memory layers, block size or capacity", async () => {
		const some = await loadModel(folder, { runtime, memoryHeads: [{ layer: 1 }] });
		expect(await rejection(some.createSessionWithArchive(path, { policy }))).toContain(
			"expected an archive of the memory heads 1.0,1.1, got 0.0,0.1,1.0,1.1,2.0,2.1.",
		);
		await some.dispose();
		expect(await rejection(open({ policy: parsePolicy("memory:64/2x16,rolling:28") }))).toContain(
			"expected an archive of the block size 16, got 8. Give the policy a memory of blocks of 8.",
		);
		expect(await rejection(open({ policy: parsePolicy("memory:48/2x8,rolling:28") }))).toContain(
			"expected an archive of at most the 48 tokens that the policy's memory keeps, got 56, 8 more. " +
				"Give it a memory of 56 tokens.",
		);
	});

	test("is refused before anything is allocated, and an interruption leaves no session", async () => {
		const small = cpu({ threads: 1, memoryLimit: 200_000 });
		const limited = await loadModel(folder, { runtime: small });
		for (let i = 0; i < 5; i++) {
			await rejection(
				limited.createSessionWithArchive(path, { policy: parsePolicy("memory:48/2x8,rolling:28") }),
			);
			const stop = new AbortController();
			const begun = limited.createSessionWithArchive(path, {
				policy,
				signal: stop.signal,
				onProgress: (tokens) => tokens >= 16 && stop.abort(new Error("stopped")),
			});
			await expect(begun).rejects.toThrow("stopped");
		}
		// There is room for one only.
		const session = await limited.createSessionWithArchive(path, { policy });
		expect(session.stats.attached).toBe(56);
		await expect(limited.createSessionWithArchive(path, { policy })).rejects.toThrow("memory");
		await limited.dispose();
		await small.dispose();
	});
});

describe("S39: a file that is not a whole archive", () => {
	let whole: Buffer;
	let damaged: string;

	beforeAll(async () => {
		await (await reader({}, book.slice(0, 30))).saveArchive(path);
		whole = readFileSync(path);
		damaged = join(folder, "damaged.tokmem");
	});

	async function refuse(bytes: Uint8Array): Promise<string> {
		writeFileSync(damaged, bytes);
		return rejection(model.createSessionWithArchive(damaged, { policy }));
	}

	test("cut anywhere", async () => {
		for (let length = whole.length - 1; length >= 0; length -= length > 400 ? 97 : 1)
			expect(await refuse(whole.subarray(0, length))).toMatch(/expected a whole archive file, but it/);
	});

	test("altered anywhere", async () => {
		for (let round = 0; round < 300; round++) {
			const bytes = Uint8Array.from(whole);
			const at = (round * 7919) % (round % 2 === 0 ? 300 : bytes.length);
			bytes[at] = (bytes[at] as number) ^ (1 + (round % 255));
			expect(await refuse(bytes)).toMatch(/expected a whole archive file, but it/);
		}
		expect(await refuse(Buffer.concat([whole, Buffer.of(0)]))).toMatch(/checksum/);
	});

	test("with a good checksum over a header that lies", async () => {
		const header = sealedHeader<ArchiveHeader>(whole);
		const lie = (change: Record<string, unknown>): Promise<string> => refuse(resealed(whole, change));
		for (const problem of [
			{ model: undefined },
			{ precision: "half" },
			{ tokens: 1e12 },
			{ tokens: 0 },
			{ tokens: 20 },
			{ tokens: header.tokens + 8 },
			{ blockSize: 0 },
			{ heads: [] },
			{ heads: header.heads.toReversed() },
			{ heads: [{ layer: 0, heads: [] }] },
			{ heads: [null] },
			{ heads: "all" },
			{ headDim: 2 * header.headDim },
		])
			expect(await lie(problem)).toMatch(/its header lacks a field|not as long as its header says/);
		// Twice as many heads of half the width are as long.
		const doubled = { heads: [...header.heads, ...header.heads.map(later)], headDim: header.headDim / 2 };
		expect(await lie(doubled)).toMatch(/expected an archive of the memory heads/);
	});

	test("of another kind, or none at all", async () => {
		const session = join(folder, "a.session");
		await (await reader()).save(session);
		expect(await refuse(readFileSync(session))).toBe(
			`[tok/lm] ${damaged}: expected a whole archive file, but it does not begin as one. ` +
				"Read the text again and save its archive.",
		);
		expect(await rejection(model.restoreSession(path))).toContain("expected a whole session file");
		const missing = join(folder, "missing");
		expect(await rejection(model.createSessionWithArchive(missing, { policy }))).toContain(
			"could not be opened",
		);
		await expect(inspectArchive(missing)).rejects.toThrow("could not be opened");
	});
});

function later({ layer, heads }: { readonly layer: number; readonly heads: readonly number[] }) {
	return { layer: layer + 100, heads };
}
