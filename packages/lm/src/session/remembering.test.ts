/** Sessions whose policies keep what the window drops, on a tiny model: S32–S35 and S45 of SPEC.md, and rules of all sessions. */
import { readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, describe, expect, test } from "vitest";
import type { Compressor, CompressorGroup } from "../decoder/compressors.ts";
import { convCompressor } from "../decoder/conv-compressor.ts";
import { loadModel } from "../load-model.ts";
import type { GenerateOptions, Model, Session } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";

const { folder, runtime, model } = await openTinyModel();
const greedy = { temperature: 0, ignoreEndOfText: true } as const;
const story =
	"The harbour was quiet when the clockmaker came home, and so it stayed until the morning. ".repeat(3);
/** A window of 600 is kept in 8 bits in `fast`, and so is every archive. */
const coded = [
	"sink:4,memory:64/2x8,rolling:28",
	"sink:4,memory:64/2x8:least-recalled,rolling:28",
	"sink:4,rolling:600",
	"sink:2,memory:128/2x8,rolling:520",
];
const policies = [
	"sink:4,memory:64/2x8,rolling:28",
	"sink:4,compressive:8/4/mean,rolling:28",
	"sink:4,compressive:8/4/most-used,rolling:28",
	"sink:2,compressive:6/2/max,memory:32/2x4,rolling:20",
	"sink:4,memory:64/2x8,rolling:28:turns",
	"sink:4,memory:64/2x8:least-recalled,rolling:28",
	"sink:2,memory:64/3x4/3:rotated:least-recalled,rolling:20:turns",
	"sink:2,memory:32/2x4:least-recalled,compressive:6/2/most-used,rolling:20",
];
const fast = await loadModel(folder, { runtime, precision: "fast" });

afterAll(() => fast.dispose());

const next = async (session: Session, options: GenerateOptions = {}): Promise<readonly number[]> =>
	(await collect(session.generate({ ...greedy, maxTokens: 24, ...options }))).ids;

describe.each(policies)("%s", (text) => {
	const policy = parsePolicy(text);
	const open = (): Session => model.createSession({ policy });
	const filled = async (): Promise<Session> => {
		const session = open();
		await session.append(story, { turn: true });
		await next(session, { maxTokens: 40 });
		return session;
	};

	test("K35: retained + evicted + pending = length, but for what merged entries stand for", async () => {
		const { length, retained, evicted, bytes } = (await filled()).stats;
		if (text.includes("compressive")) expect(retained + evicted + 1).toBeLessThan(length);
		else expect(retained + evicted + 1).toBe(length);
		expect(evicted).toBeGreaterThan(0);
		expect(bytes).toBeLessThanOrEqual(model.cacheBytes(policy));
	});

	test("S19: a fork goes on alike, and is independent", async () => {
		const session = await filled();
		const fork = session.fork();
		const want = await next(session);
		expect(await next(fork)).toEqual(want);
		expect(fork.stats).toEqual(session.stats);
	});

	test("S22: a saved session goes on as if it had not stopped", async () => {
		const path = join(tmpdir(), `tok-remembering-${process.pid}.toksession`);
		const session = await filled();
		await session.save(path);
		const restored = await model.restoreSession(path);
		expect(formatPolicy(restored.policy)).toBe(text);
		expect(restored.stats).toEqual(session.stats);
		expect(await next(restored)).toEqual(await next(session));
		rmSync(path);
	});

	test("S18 K35: a rewind reaches back to the window, and what was sent on stays where it is", async () => {
		const session = await filled();
		await next(session, { maxTokens: 6 });
		const { length, evicted } = session.stats;
		session.rewind(6);
		expect(session.stats).toMatchObject({ length: length - 6, evicted });
		expect(await next(session, { maxTokens: 6 })).toHaveLength(6);
		expect(() => session.rewind(200)).toThrow(/rewind: expected an integer from 0 to \d+/);
		session.dispose();
	});

	test("S12: breaking off leaves a whole stream", async () => {
		const [whole, broken] = [await filled(), await filled()];
		const want = await next(whole);
		const got: number[] = [];
		while (got.length < want.length) got.push(...(await next(broken, { maxTokens: 5 })));
		expect(got.slice(0, want.length)).toEqual(want);
	});

	test("S26: in a batch it is the stream that it is alone", async () => {
		const batch = model.createBatch({ policy, size: 3 });
		const sessions = Array.from({ length: 3 }, () => batch.createSession());
		const alone = Array.from({ length: 3 }, open);
		for (const [i, session] of sessions.entries()) {
			const prompt = story.slice(20 * i);
			await session.append(prompt);
			await (alone[i] as Session).append(prompt);
		}
		const got = await Promise.all(sessions.map((session) => next(session, { maxTokens: 60 })));
		for (const [i, session] of alone.entries())
			expect(await next(session, { maxTokens: 60 })).toEqual(got[i]);
		batch.dispose();
	});

	test("S29 S31: with guesses it is the same stream", async () => {
		const [plain, guessing] = [await filled(), await filled()];
		const want = await next(plain, { maxTokens: 80 });
		const { ids, speculation } = await collect(guessing.generate({ ...greedy, maxTokens: 80, speculate: 6 }));
		expect(ids).toEqual(want);
		expect(speculation?.accepted).toBeGreaterThan(0);
		expect(guessing.stats).toEqual(plain.stats);
	});
});

describe.each(coded)("%s in 8 bits", (text) => {
	const policy = parsePolicy(text);
	const filled = async (): Promise<Session> => {
		const session = fast.createSession({ policy });
		await session.append(story.repeat(4));
		await next(session, { maxTokens: 10 });
		return session;
	};

	test("S34: costs what it says, far below float32's", async () => {
		const session = await filled();
		expect(session.stats.evicted).toBeGreaterThan(0);
		expect(session.stats.bytes).toBeLessThanOrEqual(fast.cacheBytes(policy));
		expect(fast.cacheBytes(policy)).toBeLessThan(0.6 * model.cacheBytes(policy));
		session.dispose();
	});

	test("S19 S22: a fork and a saved session go on as the session does", async () => {
		const path = join(tmpdir(), `tok-coded-${process.pid}.toksession`);
		const session = await filled();
		const fork = session.fork();
		await session.save(path);
		const restored = await fast.restoreSession(path);
		const want = await next(session);
		expect(await next(fork)).toEqual(want);
		expect(await next(restored)).toEqual(want);
		rmSync(path);
	});

	test("S26: the first token in a batch is the one alone", async () => {
		const batch = fast.createBatch({ policy, size: 2 });
		const sessions = [batch.createSession(), batch.createSession()];
		const prompts = [story.repeat(4), story.repeat(3)];
		for (const [i, session] of sessions.entries()) await session.append(prompts[i] as string);
		const got = await Promise.all(sessions.map((session) => next(session)));
		for (const [i, prompt] of prompts.entries()) {
			const alone = fast.createSession({ policy });
			await alone.append(prompt);
			// Later ones may part: activations of a step together round differently.
			expect(got[i]?.[0]).toBe((await next(alone))[0]);
			alone.dispose();
		}
		batch.dispose();
	});
});

test("S32: likelihoods do not depend on how they are cut into chunks", async () => {
	const ids = model.tokenizer.encode(story);
	for (const text of policies) {
		const options = { policy: parsePolicy(text), from: 1 };
		const want = await model.negativeLogLikelihoods(ids, { ...options, chunk: 1 });
		for (const chunk of [5, 64]) {
			const got = await model.negativeLogLikelihoods(ids, { ...options, chunk });
			got.forEach((nll, i) => {
				expect(nll).toBeCloseTo(want[i] as number, 4);
			});
		}
	}
});

test("S33: an archive of nothing is no memory, bit for bit", async () => {
	const ids = model.tokenizer.encode(story).slice(0, 200);
	const without = await model.negativeLogLikelihoods(ids, { policy: parsePolicy("sink:4,rolling:256") });
	const empty = await model.negativeLogLikelihoods(ids, {
		policy: parsePolicy("sink:4,memory:64/2x16,rolling:256"),
	});
	expect(empty).toEqual(without);
});

test("S34: memory heads cost what they are, and no others", async () => {
	const policy = parsePolicy("sink:4,memory:64/2x8,rolling:28");
	const some = await loadModel(folder, {
		runtime,
		memoryHeads: [
			{ layer: 2, heads: [1] },
			{ layer: 0, heads: [0] },
			{ layer: 0, heads: [1] },
		],
	});
	const { layers, kvHeads, headDim } = model.info;
	const perHead = headDim * 2 * 4;
	expect(model.cacheBytes(policy)).toBe((4 + 35 + 64 + 128) * layers * kvHeads * perHead);
	expect(some.cacheBytes(policy)).toBe(((4 + 35) * layers * kvHeads + (64 + 128) * 3) * perHead);
	const session = some.createSession({ policy });
	await session.append(story);
	expect(await next(session)).toHaveLength(24);
	await some.dispose();
});

test.each([
	[[{ layer: 3, heads: [0] }]],
	[[{ layer: -1, heads: [0] }]],
	[[{ layer: 0, heads: [2] }]],
	[[{ layer: 0, heads: [] }]],
	[[]],
])("S34: memory heads %j are an error", async (memoryHeads) => {
	await expect(loadModel(folder, { runtime, memoryHeads })).rejects.toThrow(
		"[tok/lm] memoryHeads: expected heads 0 to 1 of the 3 of 3 layers that look back without a limit",
	);
});

test("S35: an unknown compressor, and a cache beyond the memory, are errors", async () => {
	expect(() => model.createSession({ policy: parsePolicy("compressive:8/4/nonsense,rolling:28") })).toThrow(
		'[tok/lm] compressive:8/4/nonsense,rolling:28: expected a compressor among mean, max, most-used, got "nonsense". ' +
			"Give loadModel one of your own as compressors.",
	);
	const small = cpu({ threads: 1, memoryLimit: 1e6 });
	const limited = await loadModel(folder, { runtime: small });
	expect(() => limited.createSession({ policy: parsePolicy("memory:16384/8x16,rolling:256") })).toThrow(
		/expected a cache within the 1000000 bytes of memory, got \d+ \(memory 16512 × \d+ \+ rolling 271 × \d+, slots × bytes\)/,
	);
	await limited.dispose();
	await small.dispose();
});

describe("S35: a compressor of one's own", () => {
	const newest: Compressor = { merge: ({ entries }, out) => out.set(entries.subarray(-out.length)) };
	const policy = parsePolicy("sink:4,compressive:8/4/newest,rolling:28");

	test("is asked for each group's keys and values, un-rotated, by layer and head", async () => {
		const groups: CompressorGroup[] = [];
		const watching: Compressor = {
			merge(group, out) {
				groups.push({ ...group, entries: group.entries.slice() });
				newest.merge(group, out);
			},
		};
		const own = await loadModel(folder, { runtime, compressors: { newest: watching } });
		const session = own.createSession({ policy, chunk: 1 });
		const ids = own.tokenizer.encode(story).slice(0, 4 + 28 + 2 * 4);
		await session.append(ids);
		const { layers, kvHeads, headDim } = own.info;
		expect(groups).toHaveLength(2 * layers * kvHeads * 2);
		expect(groups.map(({ layer, head, kind }) => `${layer}.${kind}.${head}`)).toEqual(
			[0, 0].flatMap(() =>
				Array.from({ length: layers }, (_, layer) =>
					["key", "value"].flatMap((kind) =>
						Array.from({ length: kvHeads }, (_, head) => `${layer}.${kind}.${head}`),
					),
				).flat(),
			),
		);
		for (const { entries } of groups) expect(entries).toHaveLength(4 * headDim);
		// In the first layer an un-rotated key depends on its token alone: here each stands one position further on.
		const first = groups[0]?.entries as Float32Array;
		groups.length = 0;
		const shifted = own.createSession({ policy, chunk: 1 });
		await shifted.append([ids[0] as number, ...ids]);
		const second = groups[0]?.entries as Float32Array;
		first.subarray(0, 3 * headDim).forEach((value, i) => {
			expect(second[headDim + i]).toBeCloseTo(value, 5);
		});
		await own.dispose();
	});

	test("a saved session names it, and goes on where it is known", async () => {
		const path = join(tmpdir(), `tok-compressor-${process.pid}.toksession`);
		const own = await loadModel(folder, { runtime, compressors: { newest } });
		const session = own.createSession({ policy });
		await session.append(story);
		await session.save(path);
		const restored = await own.restoreSession(path);
		expect(await next(restored)).toEqual(await next(session));
		await expect(model.restoreSession(path)).rejects.toThrow(
			'compressive:8/4/newest,rolling:28: expected a compressor among mean, max, most-used, got "newest". Give loadModel',
		);
		rmSync(path);
		await own.dispose();
	});

	test("whose numbers are none, or which throws, changes nothing", async () => {
		let broken = true;
		const compressors: Record<string, Compressor> = {
			newest: {
				merge(group, out) {
					newest.merge(group, out);
					if (broken && group.layer === 1) out[3] = Number.NaN;
				},
			},
		};
		const own = await loadModel(folder, { runtime, compressors });
		const session = own.createSession({ policy, chunk: 16 });
		const ids = own.tokenizer.encode(story).slice(0, 30);
		await session.append(ids);
		const { length } = session.stats;
		await expect(session.append(ids.slice(0, 10))).rejects.toThrow(
			'[tok/lm] compressor "newest": expected finite numbers, got NaN in the key of layer 1, head 0.',
		);
		expect(session.stats.length).toBe(length);
		broken = false;
		await session.append(ids.slice(0, 10));
		const other = own.createSession({ policy, chunk: 16 });
		await other.append([...ids, ...ids.slice(0, 10)]);
		expect(await next(session)).toEqual(await next(other));
		await own.dispose();
	});

	test("has a name that no other has, and merges", async () => {
		const load = (compressors: object) =>
			loadModel(folder, { runtime, compressors: compressors as Record<string, Compressor> });
		await expect(load({ mean: newest })).rejects.toThrow(
			'compressors: expected names of letters, digits and "-" other than mean, max, most-used, got "mean".',
		);
		await expect(load({ "The Newest": newest })).rejects.toThrow('got "The Newest"');
		await expect(load({ newest: newest.merge })).rejects.toThrow(
			'compressors: expected "newest" to be an object with merge(group, out), got function.',
		);
	});

	test("whose weights do not fit is an error before a session is made, in a batch too", async () => {
		const own = await loadModel(folder, { runtime, compressors: { conv: convCompressor([]), newest } });
		const conv = parsePolicy("sink:4,compressive:8/4/conv,rolling:28");
		const message = "convCompressor: expected convolutions for the model's 3 layers, got 0.";
		expect(() => own.createSession({ policy: conv })).toThrow(message);
		expect(() => own.createBatch({ policy: conv, size: 2 })).toThrow(message);
		const batch = own.createBatch({ policy, size: 2 });
		expect(() => batch.createSession({ policy: conv })).toThrow(message);
		await own.dispose();
	});
});

describe("S45: the most used of each group", () => {
	const policy = parsePolicy("sink:4,compressive:8/4/most-used,rolling:28");
	const bytesOf = async (session: Session): Promise<Buffer<ArrayBuffer>> => {
		const path = join(tmpdir(), `tok-most-used-${process.pid}.toksession`);
		await session.save(path);
		const bytes = readFileSync(path);
		rmSync(path);
		return bytes;
	};

	test("a rewind and the same tokens again lead to the same place, to the byte", async () => {
		const ids = model.tokenizer.encode(story).slice(0, 120);
		const plain = model.createSession({ policy, chunk: 1 });
		const rewound = model.createSession({ policy, chunk: 1 });
		// Nothing has left yet, so what is read again sees what it saw.
		await plain.append(ids.slice(0, 30));
		await rewound.append(ids.slice(0, 30));
		for (const count of [1, 5, 20]) {
			rewound.rewind(count);
			const fork = rewound.fork();
			expect((await bytesOf(fork)).equals(await bytesOf(rewound))).toBe(true);
			await rewound.append(ids.slice(30 - count, 30));
			expect((await bytesOf(rewound)).equals(await bytesOf(plain))).toBe(true);
			await fork.append(ids.slice(30 - count, 30));
			expect((await bytesOf(fork)).equals(await bytesOf(plain))).toBe(true);
		}
		await plain.append(ids.slice(30));
		await rewound.append(ids.slice(30));
		expect((await bytesOf(rewound)).equals(await bytesOf(plain))).toBe(true);
	});

	test("keeps whole entries of the window, in each head its own", async () => {
		const kept: CompressorGroup[] = [];
		const used: number[] = [];
		const watching: Compressor = {
			attention: true,
			merge(group, out) {
				const { entries, attention } = group;
				kept.push({ ...group, entries: entries.slice() });
				const best = attention.indexOf(Math.max(...attention));
				used.push(best);
				out.set(entries.subarray(best * out.length, (best + 1) * out.length));
			},
		};
		const own = await loadModel(folder, { runtime, compressors: { watching } });
		const likelihoods = (model: Model, compressor: string) =>
			model.negativeLogLikelihoods(model.tokenizer.encode(story), {
				policy: parsePolicy(`sink:4,compressive:8/4/${compressor},rolling:28`),
			});
		const got = await likelihoods(own, "watching");
		expect(got).toEqual(await likelihoods(model, "most-used"));
		expect(got).not.toEqual(await likelihoods(model, "mean"));
		// Attention is the same for a head's keys and values, differs between heads, and chooses now this one, now that.
		const { layers, kvHeads } = own.info;
		for (let at = 0; at < kept.length; at += 2 * layers * kvHeads)
			for (let layer = 0; layer < layers; layer++)
				for (let head = 0; head < kvHeads; head++) {
					const [key, value] = ["key", "value"].map((kind) =>
						kept
							.slice(at, at + 2 * layers * kvHeads)
							.find((group) => group.kind === kind && group.layer === layer && group.head === head),
					);
					expect(key?.attention).toEqual(value?.attention);
					expect(Math.min(...(key?.attention ?? [0]))).toBeGreaterThan(0);
				}
		expect(new Set(kept.map(({ attention }) => attention.join())).size).toBe(kept.length / 2);
		expect(new Set(used)).toEqual(new Set([0, 1, 2, 3]));
		await own.dispose();
	});

	test("tells none to a compressor that does not ask, also where another does", async () => {
		const told = new Set<number>();
		const watching: Compressor = {
			merge: ({ entries, attention }, out) => {
				told.add(attention.length);
				out.set(entries.subarray(-out.length));
			},
		};
		const own = await loadModel(folder, { runtime, compressors: { watching } });
		const twice = "sink:4,compressive:8/2/watching,compressive:8/4/most-used,rolling:28";
		const session = own.createSession({ policy: parsePolicy(twice) });
		await session.append(story);
		expect(told).toEqual(new Set([0]));
		await own.dispose();
	});

	test("in `fast`, over a window in 8 bits too, a saved session and a fork go on alike", async () => {
		for (const text of [
			"sink:4,compressive:8/4/most-used,rolling:28",
			"sink:4,compressive:16/2/most-used,rolling:520",
		]) {
			const session = fast.createSession({ policy: parsePolicy(text) });
			await session.append(story.repeat(3));
			await next(session, { maxTokens: 10 });
			expect(session.stats.evicted).toBeGreaterThan(0);
			const restored = await fast.restoreSession(new Blob([await bytesOf(session)]));
			const fork = session.fork();
			const want = await next(session);
			expect(await next(fork)).toEqual(want);
			expect(await next(restored)).toEqual(want);
		}
	});

	test("counts attention in a window alone, and in a graph of its own", () => {
		for (const text of [
			"compressive:8/2/most-used,compressive:8/2,rolling:28",
			"compressive:8/2/most-used,memory:32/2x4,rolling:28",
		])
			expect(() => model.createSession({ policy: parsePolicy(text) })).toThrow(
				`${text.replace("/2,", "/2/mean,")}: expected most-used, which counts the attention that falls on a window, to take what ` +
					"the window drops. Write it last before the window.",
			);
		const batch = model.createBatch({
			policy: parsePolicy("sink:4,compressive:8/4/mean,rolling:28"),
			size: 1,
		});
		expect(() => batch.createSession({ policy })).toThrow("expected a policy within the batch's");
		batch.dispose();
	});

	test("a file from where the compressor did not ask for attention is refused where it does", async () => {
		const merge: Compressor["merge"] = ({ entries }, out) => out.set(entries.subarray(-out.length));
		const own = parsePolicy("sink:4,compressive:8/4/own,rolling:28");
		const [without, asking] = await Promise.all(
			[false, true].map((attention) =>
				loadModel(folder, { runtime, compressors: { own: { attention, merge } } }),
			),
		);
		const session = without?.createSession({ policy: own }) as Session;
		await session.append(story);
		const file = new Blob([await bytesOf(session)]);
		await expect(asking?.restoreSession(file)).rejects.toThrow(
			"snapshot: expected what attention fell on the window, which sink:4,compressive:8/4/own,rolling:28 asks for, got none.",
		);
		await without?.dispose();
		await asking?.dispose();
	});
});
