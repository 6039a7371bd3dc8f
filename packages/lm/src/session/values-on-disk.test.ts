/** Archives whose values lie in files, on a tiny model: S48 of SPEC.md. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parsePolicy } from "@tok/kv-cache";
import type { KvShape } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, describe, expect, test, vi } from "vitest";
import { loadModel } from "../load-model.ts";
import type { Model, Session } from "../model.ts";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";

const { folder, runtime, model } = await openTinyModel();
const scratch = mkdtempSync(join(tmpdir(), "tok-disk-"));
const told: string[] = [];
const onDiskFailure = (error: Error): void => {
	told.push(error.message);
};
const disk = join(scratch, "values");
const diskRuntime = cpu({ threads: 1, disk, onDiskFailure });
const inMemory = { exact: model, fast: await loadModel(folder, { runtime, precision: "fast" }) };
const onDisk = {
	exact: await loadModel(folder, { runtime: diskRuntime, precision: "exact" }),
	fast: await loadModel(folder, { runtime: diskRuntime, precision: "fast" }),
};
afterAll(async () => {
	for (const each of [inMemory.fast, onDisk.exact, onDisk.fast]) await each.dispose();
	await diskRuntime.dispose();
	rmSync(scratch, { recursive: true });
});

const story = "The harbour was quiet when the clockmaker came home, and so it stayed until dawn. ".repeat(4);
const next = async (session: Session): Promise<readonly number[]> =>
	(await collect(session.generate({ temperature: 0, ignoreEndOfText: true, maxTokens: 24 }))).ids;
describe.each(["exact", "fast"] as const)("S48: in %s", (precision) => {
	test.each([
		"sink:4,memory:64/2x8,rolling:28",
		"sink:4,memory:64/2x8/3:rotated:least-recalled,rolling:28",
		"sink:2,compressive:6/2/max,memory:32/2x4,rolling:20",
		"sink:2,memory:32/2x4,compressive:6/2/most-used,rolling:20",
	])("a session under %s is the same bit for bit", async (text) => {
		const policy = parsePolicy(text);
		const [here, there] = [onDisk[precision], inMemory[precision]].map((each) =>
			each.createSession({ policy }),
		) as [Session, Session];
		expect(await here.score(story)).toEqual(await there.score(story));
		const fork = here.fork();
		const ids = await next(there);
		expect(await next(here)).toEqual(ids);
		expect(await next(fork)).toEqual(ids);
		const path = join(scratch, "saved.tok");
		await here.save(path);
		const restored = await onDisk[precision].restoreSession(path);
		const elsewhere = await inMemory[precision].restoreSession(path);
		expect([here, fork, restored, elsewhere].map(({ stats }) => stats.diskBytes > 0)).toEqual([
			true,
			true,
			true,
			false,
		]);
		const more = await next(there);
		for (const each of [restored, elsewhere]) expect(await next(each)).toEqual(more);
		for (const each of [here, there, fork, restored, elsewhere]) each.dispose();
	});
});

test("S48: a file that says nothing of sparse values is restored with them on disk", async () => {
	const create = runtime.createKvStore.bind(runtime);
	const unmarked = ({ kinds, ...shape }: KvShape): KvShape => ({
		...shape,
		...(kinds && { kinds: kinds.map((kind) => (kind?.format ? { format: kind.format } : undefined)) }),
	});
	const spy = vi.spyOn(runtime, "createKvStore").mockImplementation((shape) => create(unmarked(shape)));
	for (const precision of ["exact", "fast"] as const) {
		const session = inMemory[precision].createSession({
			policy: parsePolicy("sink:4,memory:64/2x8,rolling:28"),
		});
		await session.append(story);
		const path = join(scratch, "older.tok");
		await session.save(path);
		const restored = await onDisk[precision].restoreSession(path);
		expect(restored.stats.diskBytes).toBeGreaterThan(0);
		expect(await next(restored)).toEqual(await next(session));
		for (const each of [session, restored]) each.dispose();
	}
	expect(spy).toHaveBeenCalledTimes(2);
	spy.mockRestore();
});

test("S48: half of what the archive takes lies on disk, in files without a name", async () => {
	const policy = parsePolicy("sink:4,memory:64/2x8,rolling:28");
	const without = parsePolicy("sink:4,rolling:28");
	const session = onDisk.fast.createSession({ policy });
	await session.append(story);
	const archive = session.stats.bytes - onDisk.fast.cacheBytes(without);
	expect(session.stats.diskBytes).toBeGreaterThan(0.4 * archive);
	expect(session.stats.diskBytes).toBeLessThanOrEqual(archive / 2);
	expect(readdirSync(disk)).toEqual([]);
	const plain = onDisk.fast.createSession({ policy: without });
	expect(plain.stats.diskBytes).toBe(0);
	session.dispose();
	expect(session.stats.diskBytes).toBe(0);
});

test("S48: a disk that fails is said once, and the session goes on in memory", async () => {
	const policy = parsePolicy("sink:4,memory:1024/2x8,rolling:28");
	const gone = join(scratch, "gone");
	mkdirSync(gone);
	await using failing = cpu({ threads: 1, disk: gone, onDiskFailure });
	await using own = await loadModel(folder, { runtime: failing });
	const [session, expected] = [own, model].map((each) => each.createSession({ policy })) as [
		Session,
		Session,
	];
	const half = story.slice(0, 100);
	await Promise.all([session, expected].map((each) => each.append(half)));
	expect(session.stats.diskBytes).toBeGreaterThan(0);
	expect(told).toEqual([]);
	rmSync(gone, { recursive: true });
	expect(await session.score(story.repeat(2))).toEqual(await expected.score(story.repeat(2)));
	expect(session.stats.diskBytes).toBe(0);
	expect(told).toEqual([
		expect.stringContaining(`disk: expected to write files into ${gone} and map them, got ENOENT`),
	]);
});

test("S48: what lies on disk is not counted as memory", async () => {
	const policy = parsePolicy("sink:4,memory:16384/8x16,rolling:256");
	const bytes = model.cacheBytes(policy);
	const opened = async (options: Parameters<typeof cpu>[0]): Promise<Model> =>
		loadModel(folder, { runtime: cpu({ threads: 1, memoryLimit: 0.75 * bytes, ...options }) });
	const [small, large] = [await opened({}), await opened({ disk })];
	expect(() => small.createSession({ policy })).toThrow(
		"[tok/lm] sink:4,memory:16384/8x16,rolling:256: expected a cache",
	);
	const session = large.createSession({ policy });
	expect(session.stats.diskBytes).toBeGreaterThan(0);
	for (const each of [small, large]) await each.dispose();
});
