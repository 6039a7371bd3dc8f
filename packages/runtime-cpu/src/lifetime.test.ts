/**
 * Opening and closing many times must not grow resident memory. What leaked once would be added ROUNDS times; the
 * bound is far below that, and far above what allocators and the garbage collector keep for themselves.
 */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import type { KvShape, Tensor } from "@tok/runtime";
import { freshRows, mirror, product } from "@tok/runtime/conformance";
import * as ort from "onnxruntime-node";
import { expect, test, vi } from "vitest";
import { cpu } from "./cpu.ts";

setFlagsFromString("--expose-gc");
const gc: () => void = runInNewContext("gc");
const MIB = 2 ** 20;
const ROUNDS = 200;
/** glibc keeps up to 64 MiB of freed memory for itself (M_TRIM_THRESHOLD); growth was −1…43 MiB, leaks 400…840. */
const BOUND = 96 * MIB;

/** Dead buffers are freed on another thread once a collection has ended; the next one waits for that. */
function collectGarbage(): void {
	gc();
	gc();
}

/**
 * Growth of resident memory over ROUNDS rounds, after some to warm up. What a round returns is kept: it is `dispose`
 * that must free the memory, not the garbage collector once the object is gone.
 */
async function growth(round: () => Promise<unknown>): Promise<number> {
	const kept: unknown[] = [];
	for (let i = 0; i < 20; i++) kept.push(await round());
	collectGarbage();
	const before = process.memoryUsage.rss();
	for (let i = 0; i < ROUNDS; i++) {
		kept.push(await round());
		// Buffers of JavaScript go with their garbage, and nothing else asks for it to be collected.
		if (i % 10 === 9) collectGarbage();
	}
	const grown = process.memoryUsage.rss() - before;
	expect(kept).toHaveLength(20 + ROUNDS);
	return grown;
}

test("R21: graphs that are loaded, run and disposed leave nothing behind", async () => {
	await using runtime = cpu({ threads: 1 });
	const weight: Tensor<"float32"> = {
		dtype: "float32",
		dims: [32, 32 * 512],
		data: new Float32Array(MIB / 2),
	}; // 2 MiB
	const file = product(weight);
	// Keeps onnxruntime's sessions, which it would free with the garbage.
	const create = vi.spyOn(ort.InferenceSession, "create");
	const x = { dtype: "float32", dims: [1, 32], data: new Float32Array(32) } as const;
	const grown = await growth(async () => {
		const session = await runtime.loadGraph(file);
		await session.run({ x });
		await session.dispose();
		return session;
	});
	expect(create.mock.results).toHaveLength(20 + ROUNDS);
	expect(ROUNDS * 2 * MIB).toBeGreaterThan(4 * BOUND);
	expect(grown).toBeLessThan(BOUND);
});

test("R21: stores that are created, written, forked, grown and disposed leave nothing behind", async () => {
	await using runtime = cpu({ threads: 1 });
	const shape: KvShape = { layers: 2, kvHeads: 2, headDim: 64, slots: [512] }; // 1 MiB
	const graph = await runtime.loadGraph(mirror(shape));
	const rows = freshRows(shape, 8);
	const grown = await growth(async () => {
		const store = runtime.createKvStore(shape);
		await graph.run({ rows }, { store, outputs: ["fresh"] });
		await store.write([{ segment: 0, row: 0, slot: 504, length: 8 }]);
		const fork = store.fork();
		fork.grow(0, 1024);
		await fork.load(fork.read());
		store.dispose();
		fork.dispose();
		return [store, fork];
	});
	expect(ROUNDS * 4 * MIB).toBeGreaterThan(4 * BOUND);
	expect(grown).toBeLessThan(BOUND);
});

test("R22: runtimes with all that they opened leave nothing behind", async () => {
	const shape: KvShape = { layers: 2, kvHeads: 2, headDim: 64, slots: [1024] }; // 2 MiB
	const file = mirror(shape);
	const grown = await growth(async () => {
		const runtime = cpu({ threads: 1 });
		const graph = await runtime.loadGraph(file);
		const store = runtime.createKvStore(shape);
		// A load touches every page: zeros that nobody reads take no memory.
		await store.load(store.read());
		await graph.run({ rows: freshRows(shape, 1) }, { store });
		await runtime.dispose();
		return [runtime, graph, store];
	});
	expect(ROUNDS * 2 * MIB).toBeGreaterThan(4 * BOUND);
	expect(grown).toBeLessThan(BOUND);
});

test("R22: steps over a bounded cache, in chunks of any length, reach a level of memory", async () => {
	await using runtime = cpu({ threads: 1 });
	const shape: KvShape = { layers: 4, kvHeads: 4, headDim: 64, slots: [4, 256] };
	const graph = await runtime.loadGraph(mirror(shape));
	const store = runtime.createKvStore(shape);
	let step = 0;
	const grown = await growth(async () => {
		const tokens = 1 + ((step++ * 37) % 128);
		const slot = (step * 5) % (256 - tokens + 1);
		await graph.run({ rows: freshRows(shape, tokens) }, { store });
		await store.write([{ segment: 1, row: 0, slot, length: tokens }]);
	});
	expect(grown).toBeLessThan(BOUND);
});
