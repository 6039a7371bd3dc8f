/** Sessions on disk: SPEC.md, S22 to S25. */
import { execFileSync } from "node:child_process";
import { mkdirSync, readdirSync, readFileSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parsePolicy } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import { beforeAll, describe, expect, test } from "vitest";
import { loadModel } from "../load-model.ts";
import type { GenerateOptions, Model, Session, SessionInfo } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { collector } from "../testing/collector.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { resealed, sealedHeader } from "../testing/resealed.ts";
import { removeFolder, type TinyModelOptions, tinyModelFolder } from "../testing/tiny-model.ts";
import { inspectSession, type SessionHeader } from "./session-file.ts";

const { folder, runtime, model } = await openTinyModel();
const prompt = "The harbour was quiet when the clockmaker came home, and so it stayed.";
const greedy: GenerateOptions = { temperature: 0, ignoreEndOfText: true, maxTokens: 40 };
const path = join(folder, "a.session");

async function begun(policy = "sink:4,rolling:28"): Promise<Session> {
	const session = model.createSession({ policy: parsePolicy(policy) });
	await collect(session.generate({ ...greedy, prompt, maxTokens: 9 }));
	return session;
}

/** Whatever goes wrong: a TokError, soon. */
async function rejection(session: Promise<Session>): Promise<string> {
	const started = performance.now();
	const error = await session.then(
		() => expect.fail("the session was restored"),
		(error: unknown) => error,
	);
	expect(performance.now() - started).toBeLessThan(1000);
	expect(TokError.isInstance(error), String(error)).toBe(true);
	return (error as Error).message;
}

describe("S22: a restored session goes on as if it had never stopped", () => {
	const sampled: GenerateOptions = { temperature: 1, topP: 0.95, ignoreEndOfText: true, maxTokens: 40 };
	const penalised: GenerateOptions = { ...greedy, repetitionPenalty: 1.4, repetitionWindow: 60 };
	const script = fileURLToPath(new URL("../testing/continue-session.ts", import.meta.url));

	/** Restores the file and generates, in a process of its own. */
	function elsewhere(options: GenerateOptions, chunk: number): unknown {
		const order = JSON.stringify({ folder, path, options, chunk });
		const source = ["--conditions=@tok/source", "--disable-warning=ExperimentalWarning", script, order];
		return JSON.parse(execFileSync(process.execPath, source, { encoding: "utf8" }));
	}

	test.skipIf(!process.features.typescript).each([
		["greedy", greedy],
		["sampled without a seed", sampled],
		["with a repetition penalty", penalised],
	])(
		"in a new process (of a Node that runs TypeScript), bit for bit: %s",
		async (_, options) => {
			const session = model.createSession({ policy: parsePolicy("sink:4,rolling:28"), chunk: 16 });
			await collect(session.generate({ ...options, prompt, maxTokens: 25 }));
			await session.save(path);
			const { yielded } = await collect(session.generate({ ...options, logprobs: 2 }));
			expect(elsewhere({ ...options, logprobs: 2 }, 16)).toEqual({ yielded, stats: session.stats });
		},
		30_000,
	);

	test.each(["dense", "rolling:32", "recompute:16", "sink:2,rolling:30:turns"])(
		"under %s",
		async (policy) => {
			const session = await begun(policy);
			await session.append("A new turn", { turn: true });
			await session.save(path);
			const restored = await model.restoreSession(path);
			expect(restored.stats).toEqual(session.stats);
			expect(restored.positions).toBe("in-cache");
			await restored.append("And another", { turn: true });
			await session.append("And another", { turn: true });
			expect(await collect(restored.generate(greedy))).toEqual(await collect(session.generate(greedy)));
			expect(restored.stats).toEqual(session.stats);
			restored.rewind(5);
			session.rewind(5);
			expect(await collect(restored.generate(penalised))).toEqual(await collect(session.generate(penalised)));
		},
	);

	test("with buffers that have grown, with original positions, with pinned tokens, and empty", async () => {
		const sessions = [
			model.createSession({ policy: parsePolicy("dense") }),
			model.createSession({ policy: parsePolicy("sink:4,rolling:28"), positions: "original" }),
			model.createSession({ policy: parsePolicy("rolling:16"), pin: "You are a clock." }),
			model.createSession({ policy: parsePolicy("rolling:16") }),
		];
		await sessions[0]?.append(prompt.repeat(5));
		await sessions[1]?.append(prompt);
		for (const session of sessions) {
			await session.save(path);
			const restored = await model.restoreSession(path);
			expect(restored.stats).toEqual(session.stats);
			expect(restored.positions).toBe(session.positions);
			expect(await collect(restored.generate(greedy))).toEqual(await collect(session.generate(greedy)));
		}
	});
});

describe("S22: without paths", () => {
	test("a stream gets the bytes of the file, and a Blob of them is restored", async () => {
		const session = await begun();
		await session.save(path);
		const { stream, bytes, end } = collector();
		await session.save(stream);
		expect(end()).toBe("closed");
		expect(Buffer.compare(bytes(), readFileSync(path))).toBe(0);
		const restored = await model.restoreSession(new Blob([bytes()]));
		expect(await collect(restored.generate(greedy))).toEqual(await collect(session.generate(greedy)));
	});

	test("a Blob of anything else is refused, by its name", async () => {
		const file = new File(["TOKSESS1"], "my.session");
		expect(await rejection(model.restoreSession(file))).toMatch(/my\.session: expected a whole session file/);
	});

	test("a stream that fails leaves the session usable", async () => {
		const session = await begun();
		await expect(session.save(collector(1000).stream)).rejects.toThrow(/the stream could not be written/);
		expect((await collect(session.generate(greedy))).ids).toHaveLength(40);
	});
});

describe("S23: a session of another", () => {
	async function withModel(options: TinyModelOptions, change: (folder: string) => void = () => {}) {
		const other = tinyModelFolder(options);
		change(other);
		const loaded = await loadModel(other, { runtime });
		try {
			return await rejection(loaded.restoreSession(path));
		} finally {
			await loaded.dispose();
			removeFolder(other);
		}
	}

	beforeAll(async () => (await begun()).save(path));

	test("model is refused: other weights, another configuration", async () => {
		const altered = await withModel({}, (folder) => {
			const file = join(folder, "model.safetensors");
			const bytes = readFileSync(file);
			bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
			writeFileSync(file, bytes);
		});
		expect(altered).toMatch(
			/expected a session of the model [0-9a-f]{64}, got [0-9a-f]{64}\. Load the model/,
		);
		expect(await withModel({ config: { rope_theta: 500 } })).toMatch(/expected a session of the model/);
	});

	test("copy of the same model is taken", async () => {
		const copy = tinyModelFolder();
		const loaded = await loadModel(copy, { runtime });
		expect((await loaded.restoreSession(path)).stats.length).toBeGreaterThan(0);
		await loaded.dispose();
		removeFolder(copy);
	});

	test("policy is refused when one is asked for", async () => {
		const policy = parsePolicy("sink:4,rolling:60");
		expect(await rejection(model.restoreSession(path, { policy }))).toMatch(
			/expected a session of the policy sink:4,rolling:60, got sink:4,rolling:28\. /,
		);
		const same = parsePolicy("sink:4,rolling:28");
		expect((await model.restoreSession(path, { policy: same })).policy).toHaveLength(2);
	});

	test("precision is refused", async () => {
		const fast = await loadModel(folder, { runtime, precision: "fast" });
		expect(await rejection(fast.restoreSession(path))).toMatch(
			/expected a session of the precision fast, got exact\. Load the model as exact/,
		);
		await fast.dispose();
	});
});

describe("S24: a file that is not a whole session", () => {
	let whole: Buffer;
	let damaged: string;

	beforeAll(async () => {
		await (await begun("sink:2,rolling:6")).save(path);
		whole = readFileSync(path);
		damaged = join(folder, "damaged.session");
	});

	async function refuse(bytes: Uint8Array): Promise<string> {
		writeFileSync(damaged, bytes);
		return rejection(model.restoreSession(damaged));
	}

	test("cut anywhere", async () => {
		writeFileSync(damaged, whole);
		// Downwards, so that one file can be cut again and again.
		for (let length = whole.length - 1; length >= 0; length -= length > 1200 ? 97 : 1) {
			truncateSync(damaged, length);
			expect(await rejection(model.restoreSession(damaged))).toMatch(/expected a whole session file, but it/);
		}
	});

	test("altered anywhere", async () => {
		let seed = 1;
		const random = (below: number) => {
			seed = (Math.imul(seed, 1664525) + 1013904223) >>> 0;
			return Math.floor((seed / 2 ** 32) * below);
		};
		for (let round = 0; round < 400; round++) {
			const bytes = Uint8Array.from(whole);
			// Half of the changes hit the header, where they could lead anywhere.
			const at = random(round % 2 === 0 ? 1200 : bytes.length);
			bytes[at] = (bytes[at] as number) ^ (1 + random(255));
			expect(await refuse(bytes)).toMatch(/expected a whole session file, but it/);
		}
		expect(await refuse(Buffer.concat([whole, Buffer.of(0)]))).toMatch(/checksum/);
	});

	test("with a good checksum over a header that lies", async () => {
		const header = sealedHeader<SessionHeader>(whole);
		const lie = (change: Record<string, unknown>): Promise<string> => refuse(resealed(whole, change));
		const problems = [
			{ model: undefined },
			{ policy: 7 },
			{ policy: "sink:2,rolling:600000000000" },
			{ policy: "sink:2,rolling:600000000", cache: { ...header.cache, policy: "sink:2,rolling:600000000" } },
			{ cache: undefined },
			{ cache: { ...header.cache, length: 1e12 } },
			{ shape: { ...header.shape, headDim: 1e9 } },
			{ shape: undefined },
			{ shape: {} },
			{ shape: { ...header.shape, slots: [1, 1] } },
			{ shape: { ...header.shape, slots: [1e12, 1e12] } },
			{ shape: { ...header.shape, slots: "many" } },
			{ shape: { ...header.shape, kinds: "none" } },
			{ shape: { ...header.shape, kinds: [{ format: "int4" }] } },
			{ shape: { ...header.shape, kinds: [{ parts: [{ layer: 0, heads: [0] }] }] } },
			{ tail: [-1] },
			{ tail: "1,2" },
			{ pending: [1e9] },
			{ random: [0, 0, 0, 0] },
			{ random: "no" },
			{ logits: 1e15 },
			{ logits: header.logits - 4, cacheBytes: header.cacheBytes + 16 },
			{ cacheBytes: -1 },
		];
		for (const problem of problems) await lie(problem);
		expect(await lie({ policy: 7 })).toMatch(/its header lacks a field/);
	});

	test("of another kind, or none at all", async () => {
		expect(await refuse(readFileSync(join(folder, "model.safetensors")))).toMatch(/it does not begin as one/);
		expect(await refuse(Buffer.from("TOKSESS1"))).toMatch(/it does not begin as one/);
		expect(await rejection(model.restoreSession(folder))).toMatch(/expected a file/);
		expect(await rejection(model.restoreSession(join(folder, "missing")))).toMatch(/could not be opened/);
	});
});

describe("S25: saving", () => {
	test("replaces the file whole, and leaves nothing beside it", async () => {
		const own = join(folder, "saved");
		mkdirSync(own);
		const session = await begun();
		await session.save(join(own, "s"));
		await session.append("more");
		await session.save(join(own, "s"));
		expect(readdirSync(own)).toEqual(["s"]);
		expect((await model.restoreSession(join(own, "s"))).stats).toEqual(session.stats);
	});

	test("that fails leaves no file, and the session usable", async () => {
		const own = join(folder, "failed");
		mkdirSync(join(own, "taken", "inside"), { recursive: true });
		const session = await begun();
		await expect(session.save(join(own, "taken"))).rejects.toThrow(/^\[tok\/lm\] .*could not be written/);
		await expect(session.save(join(own, "missing", "s"))).rejects.toThrow(TokError);
		expect(readdirSync(own)).toEqual(["taken"]);
		expect((await collect(session.generate(greedy))).ids).toHaveLength(40);
	});
});

describe("S41: what an app keeps with a session", () => {
	const data = { turns: [{ who: "you", text: "Où est la gare ?" }], more: [1, null, true] };

	test("comes back by inspectSession, with what the file says of itself, and changes nothing", async () => {
		const session = await begun();
		await session.save(path, { data });
		const { bytes, ...info } = await inspectSession(path);
		const { model: fingerprint } = sealedHeader<SessionHeader>(readFileSync(path));
		expect(info).toEqual({
			path,
			model: fingerprint,
			precision: "exact",
			policy: "sink:4,rolling:28",
			memoryHeads: undefined,
			data,
		});
		expect(bytes).toBe(readFileSync(path).length);
		const restored = await model.restoreSession(path);
		expect(await collect(restored.generate(greedy))).toEqual(await collect(session.generate(greedy)));
		await restored.save(path);
		expect(await inspectSession(new Blob([readFileSync(path)]))).toMatchObject({ data: undefined });
	});

	test("inspectSession says besides which heads a session remembers in", async () => {
		const policy = "sink:4,memory:64/2x8,rolling:28";
		const headsOf = async (of: Model): Promise<SessionInfo["memoryHeads"]> => {
			using session = of.createSession({ policy: parsePolicy(policy) });
			await session.append(of.tokenizer.encode(prompt));
			await session.save(path);
			return (await inspectSession(path)).memoryHeads;
		};
		expect(await headsOf(model)).toEqual(model.info.memoryHeads);
		await using some = await loadModel(folder, { runtime, memoryHeads: [{ layer: 1, heads: [1] }] });
		expect(await headsOf(some)).toEqual([{ layer: 1, heads: [1] }]);
		await expect(model.restoreSession(path)).rejects.toThrow(TokError);
	});

	test("is under the checksum, and of what is no session there is none", async () => {
		await (await begun()).save(path, { data });
		const bytes = readFileSync(path);
		bytes[bytes.indexOf("gare")] = 0x47;
		expect(await rejection(model.restoreSession(new Blob([bytes])))).toMatch(/its checksum does not match/);
		await expect(inspectSession(join(folder, "model.safetensors"))).rejects.toThrow(/does not begin as one/);
	});
});
