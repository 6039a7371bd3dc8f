/**
 * Runs that fail after what leaves a segment was moved, on a tiny model: S47 of SPEC.md. Every session is held to one
 * whose runs never failed.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Policy, parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { expect, test } from "vitest";
import { type Convolution, convCompressor } from "../decoder/conv-compressor.ts";
import type { Session } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";
import { tinyConfig } from "../testing/tiny-model.ts";
import { watchedRuntime } from "../testing/watched-runtime.ts";

let failing = false;
const stacks = Array.from({ length: tinyConfig.num_hidden_layers }, () => ({
	key: convolutions(),
	value: convolutions(),
}));
const { folder, model } = await openTinyModel({
	runtime: watchedRuntime(cpu({ threads: 1 }), () => {
		if (failing) throw new Error("the graph failed");
	}),
	compressors: { conv: convCompressor(stacks) },
});
const story = "The harbour was quiet when the clockmaker came home, and so it stayed until the morning. ";
const greedy = { temperature: 0, ignoreEndOfText: true, logprobs: 0 } as const;

/** Sums of each pair of a group, and of the two sums, with a turn of the channels between. */
function convolutions(): Convolution[] {
	const { num_key_value_heads: kvHeads, head_dim: headDim } = tinyConfig;
	const weight = new Float32Array(kvHeads * 2 * headDim * headDim);
	for (let row = 0; row < kvHeads * 2 * headDim; row++)
		weight[row * headDim + ((row + 1) % headDim)] = 0.4 + 0.2 * (row % 2);
	return [
		{ kernel: 2, weight },
		{ kernel: 2, weight, dilation: 2 },
	];
}

async function failed(action: () => Promise<unknown>): Promise<void> {
	failing = true;
	await expect(action()).rejects.toThrow("the graph failed");
	failing = false;
}

/** Ids and ln p of what comes next, to three digits: other rows may lie in slots that nobody sees. */
async function next(session: Session) {
	const { yielded } = await collect(session.generate({ ...greedy, maxTokens: 4 }));
	return yielded.map(({ id, logprob }) => [id, (logprob as number).toFixed(3)]);
}

/** A digest of what it would leave behind. */
async function archiveOf(session: Session): Promise<string> {
	const path = join(folder, "failed.tokmem");
	await session.saveArchive(path);
	return createHash("sha256").update(readFileSync(path)).digest("hex");
}

async function restored(session: Session): Promise<Session> {
	const path = join(folder, "failed.session");
	await session.save(path);
	return model.restoreSession(path, { chunk: 16 });
}

const failures: readonly ((session: Session) => Promise<unknown>)[] = [
	(session) => session.append([70]),
	(session) => session.append(story.slice(0, 40)),
	(session) => session.score(story.slice(0, 30)),
	(session) => collect(session.generate({ ...greedy, maxTokens: 3 })),
	(session) => collect(session.generate({ ...greedy, maxTokens: 9, speculate: 6 })),
];

test.each([
	"sink:4,memory:128/2x4:least-recalled,rolling:4",
	"sink:4,memory:128/2x4/3:least-recalled,rolling:4:turns",
	"sink:2,memory:64/2x4:least-recalled,compressive:6/2/most-used,rolling:20",
	"sink:4,memory:64/2x4,rolling:20",
	"sink:2,compressive:6/2/max,memory:32/2x4,rolling:20",
	"sink:4,compressive:8/4/mean,rolling:28",
	"sink:4,compressive:8/4/max,rolling:28",
	"sink:4,compressive:8/4/most-used,rolling:28",
	"sink:4,compressive:8/4/conv,rolling:28",
])("S47: a run that fails changes nothing: %s", async (text) => {
	const policy: Policy = parsePolicy(text);
	const archived = async (session: Session) =>
		/memory[^,]*,rolling/.test(text) ? archiveOf(session) : undefined;
	const session = model.createSession({ policy, chunk: 16 });
	await session.append(story.repeat(2));
	await collect(session.generate({ ...greedy, maxTokens: 2 }));
	// From one token to the next, until a group has left; by choice four blocks leave at a time.
	const places = text.includes("least-recalled") ? 18 : 8;
	for (let more = 0; more < places; more++) {
		const well = session.fork();
		const [archive, passages, tokens] = [await archived(well), well.recalled(), await next(well)];
		const later = await archived(well);
		for (const fail of failures) {
			const broken = session.fork();
			await failed(() => fail(broken));
			expect({ ...broken.stats, bytes: 0 }).toEqual({ ...session.stats, bytes: 0 });
			expect(await archived(broken)).toBe(archive);
			if (fail === failures[0]) expect(broken.recalled()).toEqual(passages);
			expect(await next(await restored(broken))).toEqual(tokens);
			await failed(() => fail(broken));
			expect(await next(broken)).toEqual(tokens);
			expect(await archived(broken)).toBe(later);
		}
		await collect(session.generate({ seed: more, ignoreEndOfText: true, maxTokens: 1 }));
	}
});

test("S47: sessions of a batch whose run fails have their blocks as before", async () => {
	const policy = parsePolicy("sink:4,memory:128/2x4:least-recalled,rolling:4");
	const batch = model.createBatch({ policy, size: 2 });
	const sessions = [batch.createSession({ chunk: 16 }), batch.createSession({ chunk: 16 })];
	for (const [i, session] of sessions.entries()) await session.append(story.repeat(2 + i));
	for (let more = 0; more < 18; more++) {
		const well = sessions.map((session) => session.fork());
		await failed(() => Promise.all(sessions.map((session) => session.append([70]))));
		for (const [i, session] of sessions.entries()) {
			expect(await archiveOf(session)).toBe(await archiveOf(well[i] as Session));
			expect(await next(session.fork())).toEqual(await next(well[i] as Session));
		}
		await Promise.all(sessions.map((session) => session.append([70])));
	}
	batch.dispose();
});
