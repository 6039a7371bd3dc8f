/** R10–R19: what a store holds. */
import type { KvShape, KvStore, KvWrite } from "../runtime.ts";
import {
	type ConformanceCase,
	conformanceCase,
	expectEqual,
	expectThat,
	expectTokError,
} from "./conformance-case.ts";
import { freshRows, mirror, seen } from "./graphs.ts";
import type { NaiveStore } from "./naive-store.ts";
import { Bench, shape, wrapped } from "./store-bench.ts";
import { counting } from "./tensors.ts";

async function bytesOf(store: KvStore): Promise<Uint8Array> {
	const parts: number[] = [];
	for await (const part of store.read()) parts.push(...part);
	return Uint8Array.from(parts);
}

function fileOf(naive: NaiveStore): Uint8Array {
	const numbers = [...naive.buffers().values()].flatMap(({ data }) => [...data]);
	const bytes = new Uint8Array(4 * numbers.length);
	const view = new DataView(bytes.buffer);
	numbers.forEach((number, i) => {
		view.setFloat32(4 * i, number, true);
	});
	return bytes;
}

export const storeCases: readonly ConformanceCase[] = [
	conformanceCase("R10a", "a store has the shape it was created with, and its bytes", async (runtime) => {
		const store = runtime.createKvStore(shape);
		expectThat("the shape is as given", JSON.stringify(store.shape) === JSON.stringify(shape));
		expectEqual("bytes", [store.bytes], [2 * 2 * 3 * 2 * (1 + 5 + 0) * 4]);
		const none = runtime.createKvStore({ ...shape, slots: [] });
		expectEqual("bytes without segments", [none.bytes], [0]);
	}),
	conformanceCase("R10b", "a shape that is none is an error that shows it", async (runtime) => {
		const wrong: readonly Partial<KvShape>[] = [
			{ layers: 0 },
			{ kvHeads: -1 },
			{ headDim: 1.5 },
			{ layers: Number.NaN },
			{ slots: [4, -1] },
			{ slots: [0.5] },
		];
		for (const part of wrong)
			await expectTokError(
				JSON.stringify(part),
				() => runtime.createKvStore({ ...shape, ...part }),
				Object.keys(part)[0] as string,
			);
	}),
	conformanceCase("R11a", "a new store feeds zeros, under the names and dims of kvNames", async (runtime) => {
		await (await Bench.create(runtime)).check("new");
	}),
	conformanceCase(
		"R12a",
		"a graph is fed what it reads: a store may hold more, but not less",
		async (runtime) => {
			const { store } = await Bench.create(runtime);
			const fewer = await runtime.loadGraph(mirror({ ...shape, slots: [1] }));
			await fewer.run({ rows: freshRows(shape, 1) }, { store });
			const more = await runtime.loadGraph(mirror({ ...shape, slots: [1, 1, 1, 1] }));
			await expectTokError(
				"a fourth segment",
				() => more.run({ rows: freshRows(shape, 1) }, { store }),
				"past.3.0.key",
			);
			await expectTokError("no store", () => fewer.run({ rows: freshRows(shape, 1) }), "past.0.0.key");
		},
	),
	conformanceCase(
		"R12b",
		"a store whose heads are not the graph's is an error that shows both",
		async (runtime) => {
			const graph = await runtime.loadGraph(mirror(shape));
			const store = runtime.createKvStore({ ...shape, headDim: 4 });
			const run = (): Promise<unknown> => graph.run({ rows: freshRows(shape, 1) }, { store });
			await expectTokError(
				"headDim 4 for 3",
				run,
				"past.0.0.key",
				"[1, 2, 1, 3, slots.0]",
				"[1, 2, 1, 4, 1]",
			);
		},
	),
	conformanceCase("R12c", "an input that both the feeds and the store have is an error", async (runtime) => {
		const { graph, store } = await Bench.create(runtime);
		const feeds = { rows: freshRows(shape, 1), "past.0.0.key": counting([1, 2, 1, 3, 1]) };
		await expectTokError("fed twice", () => graph.run(feeds, { store }), "past.0.0.key");
	}),
	conformanceCase(
		"R12d",
		"fresh comes back when no store keeps it; feeds may stand in for a store",
		async (runtime) => {
			const of: KvShape = { layers: 1, kvHeads: 1, headDim: 2, slots: [2] };
			const graph = await runtime.loadGraph(mirror(of));
			const rows = freshRows(of, 1);
			const outputs = await graph.run({
				rows,
				"past.0.0.key": counting([1, 1, 1, 2, 2]),
				"past.0.0.value": counting([1, 1, 1, 2, 2], 4),
			});
			expectEqual("fresh", outputs.fresh?.data ?? [], rows.data);
			expectEqual("the key", outputs[seen("past.0.0.key")]?.data ?? [], Float32Array.of(0, 1, 2, 3));
		},
	),
	conformanceCase("R12e", "a store of another runtime is an error", async (runtime, createRuntime) => {
		const { graph } = await Bench.create(runtime);
		const other = await createRuntime();
		try {
			const store = other.createKvStore(shape);
			await expectTokError(
				"a foreign store",
				() => graph.run({ rows: freshRows(shape, 1) }, { store }),
				"store",
			);
		} finally {
			await other.dispose();
		}
	}),
	conformanceCase(
		"R12f",
		"a fresh output of another shape than the store's is an error that shows both",
		async (runtime) => {
			const graph = await runtime.loadGraph(mirror({ ...shape, layers: 1, slots: [] }));
			const store = runtime.createKvStore({ ...shape, slots: [] });
			const run = (): Promise<unknown> =>
				graph.run({ rows: freshRows({ ...shape, layers: 1 }, 2) }, { store });
			await expectTokError("one layer for two", run, "fresh", "[1, 8, tokens, 3]", "[1, 4, 2, 3]");
		},
	),
	conformanceCase(
		"R13a",
		"writes put rows into slots of every layer: sinks, a ring, the ring's wrap",
		async (runtime) => {
			const bench = await Bench.create(runtime);
			await bench.write(4, wrapped);
			await bench.check("after the first write");
			await bench.write(1, [{ segment: 1, row: 0, slot: 1, length: 1 }]);
			await bench.check("after one more row");
			await bench.write(7, [
				{ segment: 1, row: 2, slot: 2, length: 3 },
				{ segment: 1, row: 5, slot: 0, length: 2 },
			]);
			await bench.check("after a chunk longer than the ring");
		},
	),
	conformanceCase("R13b", "writes are made in their order, and may be empty", async (runtime) => {
		const bench = await Bench.create(runtime);
		await bench.write(2, [
			{ segment: 1, row: 0, slot: 4, length: 1 },
			{ segment: 1, row: 1, slot: 4, length: 1 },
			{ segment: 1, row: 2, slot: 5, length: 0 },
		]);
		await bench.check("after two writes to one slot");
	}),
	conformanceCase("R14a", "a write needs a run that left fresh rows, and takes them", async (runtime) => {
		const bench = await Bench.create(runtime);
		const one: readonly KvWrite[] = [{ segment: 1, row: 0, slot: 0, length: 1 }];
		await expectTokError("before any run", () => bench.store.write(one), "fresh");
		await bench.write(1, one);
		await expectTokError("a second write", () => bench.store.write(one), "fresh");
		await bench.run(1);
		await bench.store.write([]);
		await expectTokError("after a write of nothing", () => bench.store.write(one), "fresh");
		await bench.check("after all");
	}),
	conformanceCase(
		"R14b",
		"the last run's rows count; a run that does not ask for fresh leaves none",
		async (runtime) => {
			const bench = await Bench.create(runtime);
			await bench.run(3);
			await bench.write(2, [{ segment: 1, row: 0, slot: 0, length: 2 }]);
			await bench.check("after two runs");
			await bench.run(1);
			const options = { store: bench.store, outputs: [seen("past.0.0.key")] };
			await bench.graph.run({ rows: freshRows(shape, 1) }, options);
			await expectTokError("without fresh", () => bench.store.write([]), "fresh");
		},
	),
	conformanceCase("R15a", "a write out of range is an error, and nothing is written", async (runtime) => {
		const bench = await Bench.create(runtime);
		const rows = await bench.run(3);
		const wrong: readonly KvWrite[] = [
			{ segment: 1, row: 0, slot: 3, length: 3 },
			{ segment: 1, row: 2, slot: 0, length: 2 },
			{ segment: 1, row: -1, slot: 0, length: 1 },
			{ segment: 1, row: 0, slot: -1, length: 1 },
			{ segment: 1, row: 0, slot: 0, length: -1 },
			{ segment: 1, row: 0.5, slot: 0, length: 1 },
			{ segment: 1, row: 0, slot: 0, length: Number.NaN },
			{ segment: 2, row: 0, slot: 0, length: 1 },
			{ segment: 3, row: 0, slot: 0, length: 1 },
		];
		const right: KvWrite = { segment: 1, row: 0, slot: 0, length: 2 };
		for (const write of wrong)
			await expectTokError(
				JSON.stringify(write),
				() => bench.store.write([right, write]),
				`segment ${write.segment}`,
			);
		await bench.store.write([{ segment: 0, row: 2, slot: 0, length: 1 }]);
		bench.naive.write([{ segment: 0, row: 2, slot: 0, length: 1 }], rows);
		await bench.check("after errors and one good write");
	}),
	conformanceCase("R16a", "growing keeps what a segment holds, and adds zeros", async (runtime) => {
		const bench = await Bench.create(runtime);
		await bench.write(4, wrapped);
		for (const [segment, slots] of [
			[1, 8],
			[2, 2],
			[0, 1],
		] as const) {
			bench.store.grow(segment, slots);
			bench.naive.grow(segment, slots);
			expectThat(
				"the shape follows",
				JSON.stringify(bench.store.shape) === JSON.stringify(bench.naive.shape),
			);
			await bench.check(`segment ${segment} grown to ${slots}`);
		}
		expectEqual("bytes", [bench.store.bytes], [2 * 2 * 3 * 2 * (1 + 8 + 2) * 4]);
		await bench.write(2, [{ segment: 1, row: 0, slot: 6, length: 2 }]);
		await bench.check("after a write to new slots");
	}),
	conformanceCase("R16b", "growing keeps rows that were not yet written", async (runtime) => {
		const bench = await Bench.create(runtime);
		const rows = await bench.run(2);
		bench.store.grow(2, 2);
		bench.naive.grow(2, 2);
		const writes: readonly KvWrite[] = [{ segment: 2, row: 0, slot: 0, length: 2 }];
		await bench.store.write(writes);
		bench.naive.write(writes, rows);
		await bench.check("after growing between run and write");
	}),
	conformanceCase("R16c", "shrinking, and growing an unknown segment, are errors", async (runtime) => {
		const { store } = await Bench.create(runtime);
		for (const [segment, slots] of [
			[1, 4],
			[3, 9],
			[-1, 9],
			[1, 5.5],
			[1, Number.NaN],
		] as const)
			await expectTokError(`grow(${segment}, ${slots})`, () => store.grow(segment, slots), segment, slots);
	}),
	conformanceCase("R17a", "a fork holds the same and is independent", async (runtime) => {
		const bench = await Bench.create(runtime);
		await bench.write(4, wrapped);
		const fork = bench.fork();
		await fork.check("a fork");
		await fork.write(1, [{ segment: 0, row: 0, slot: 0, length: 1 }]);
		fork.store.grow(1, 6);
		fork.naive.grow(1, 6);
		await bench.check("the original, after the fork changed");
		bench.store.dispose();
		await fork.check("the fork, after the original was disposed");
	}),
	conformanceCase("R17b", "rows that were not yet written are not forked", async (runtime) => {
		const bench = await Bench.create(runtime);
		await bench.run(1);
		const fork = bench.store.fork();
		await expectTokError("a fork's write", () => fork.write([]), "fresh");
		await bench.store.write([]);
	}),
	conformanceCase(
		"R18a",
		"read gives float32 in the order layer, segment, key before value",
		async (runtime) => {
			const bench = await Bench.create(runtime);
			await bench.write(4, wrapped);
			expectEqual("bytes", await bytesOf(bench.store), fileOf(bench.naive));
		},
	),
	conformanceCase(
		"R18b",
		"load fills a store of the same shape, however the bytes are cut",
		async (runtime) => {
			const bench = await Bench.create(runtime);
			await bench.write(4, wrapped);
			const file = await bytesOf(bench.store);
			for (const size of [1, 7, 64, file.length]) {
				const other = new Bench(runtime.createKvStore(shape), bench.naive, bench.graph);
				await other.store.load(cut(file, size));
				await other.check(`loaded by ${size} bytes`);
			}
			const last = new Bench(runtime.createKvStore(shape), bench.naive, bench.graph);
			await last.store.load(bench.store.read());
			await last.check("loaded from another store's read");
		},
	),
	conformanceCase("R18c", "load forgets rows that were not yet written", async (runtime) => {
		const bench = await Bench.create(runtime);
		const file = await bytesOf(bench.store);
		await bench.run(1);
		await bench.store.load([file]);
		await expectTokError("a write after load", () => bench.store.write([]), "fresh");
	}),
	conformanceCase(
		"R19a",
		"too few or too many bytes are an error that says how many were expected",
		async (runtime) => {
			const bench = await Bench.create(runtime);
			const file = await bytesOf(bench.store);
			const { bytes } = bench.store;
			await expectTokError("one too few", () => bench.store.load([file.subarray(1)]), bytes, bytes - 1);
			await expectTokError("none", () => bench.store.load([]), bytes, 0);
			await expectTokError(
				"one too many",
				() => bench.store.load([file, file.subarray(0, 1)]),
				bytes,
				bytes + 1,
			);
			await bench.store.load([file]);
			await bench.check("loaded after all");
		},
	),
];

function* cut(bytes: Uint8Array, size: number): Generator<Uint8Array> {
	for (let from = 0; from < bytes.length; from += size) yield bytes.subarray(from, from + size);
}
