/** R21–R24: disposal and memory limits. */
import { type KvShape, kvNames, type Runtime } from "../runtime.ts";
import {
	type ConformanceCase,
	conformanceCase,
	expectEqual,
	expectThat,
	expectTokError,
} from "./conformance-case.ts";
import { echo, freshRows, mirror, seen } from "./graphs.ts";
import { counting } from "./tensors.ts";

const shape: KvShape = { layers: 1, kvHeads: 1, headDim: 2, slots: [2] };

export const lifetimeCases: readonly ConformanceCase[] = [
	conformanceCase("R21a", "a graph session may be disposed twice; then it runs no more", async (runtime) => {
		const session = await runtime.loadGraph(echo("float32"));
		await session.dispose();
		await session.dispose();
		await session[Symbol.asyncDispose]();
		await expectTokError("run", () => session.run({ x: counting([1]) }), "disposed");
	}),
	conformanceCase("R21b", "a run under way when its session is disposed still ends well", async (runtime) => {
		const session = await runtime.loadGraph(echo("float32"));
		const running = session.run({ x: counting([3]) });
		await session.dispose();
		expectEqual("y", (await running).y?.data ?? [], Float32Array.of(0, 1, 2));
	}),
	conformanceCase(
		"R21c",
		"a store may be disposed twice; then it holds nothing and does nothing",
		async (runtime) => {
			const graph = await runtime.loadGraph(mirror(shape));
			const store = runtime.createKvStore(shape);
			await graph.run({ rows: freshRows(shape, 1) }, { store });
			store.dispose();
			store.dispose();
			store[Symbol.dispose]();
			expectEqual("bytes", [store.bytes], [0]);
			const uses: readonly [string, () => unknown][] = [
				["write", () => store.write([])],
				["grow", () => store.grow(0, 3)],
				["fork", () => store.fork()],
				["read", async () => store.read()[Symbol.asyncIterator]().next()],
				["load", () => store.load([new Uint8Array(32)])],
				["run", () => graph.run({ rows: freshRows(shape, 1) }, { store })],
			];
			for (const [name, use] of uses) await expectTokError(name, use, "disposed");
		},
	),
	conformanceCase(
		"R21d",
		"what is read while its store grows and is disposed comes whole",
		async (runtime) => {
			const larger: KvShape = { ...shape, layers: 2, slots: [3] };
			const graph = await runtime.loadGraph(mirror(larger));
			const store = runtime.createKvStore(larger);
			await graph.run({ rows: freshRows(larger, 3) }, { store });
			await store.write([{ segment: 0, row: 0, slot: 0, length: 3 }]);
			const contents = async (end: (part: number) => void): Promise<number[]> => {
				const bytes: number[] = [];
				let part = 0;
				for await (const each of store.read()) {
					end(part++);
					bytes.push(...each);
				}
				return bytes;
			};
			const before = await contents(() => {});
			expectThat(
				"there is something to read",
				before.some((byte) => byte !== 0),
			);
			const meanwhile = await contents((part) => {
				if (part === 0) store.grow(0, 5);
				else store.dispose();
			});
			expectEqual("bytes", meanwhile, before);
		},
	),
	conformanceCase(
		"R21e",
		"a place is not free while its last store is read, and disposed once",
		async (runtime) => {
			const bank = runtime.createKvBank(shape, 1);
			const first = bank.open(0);
			await first.load([Uint8Array.from({ length: first.bytes }, (_, i) => i)]);
			const parts = first.read()[Symbol.asyncIterator]();
			const { value } = await parts.next();
			first.dispose();
			await expectTokError("open", () => bank.open(0), "read");
			expectEqual("first bytes", (value as Uint8Array).subarray(0, 3), Uint8Array.of(0, 1, 2));
			await parts.return?.();
			const second = bank.open(0);
			first.dispose();
			await expectTokError("open", () => bank.open(0), "taken");
			second.dispose();
			bank.open(0);
		},
	),
	conformanceCase("R21f", "a run whose store is disposed meanwhile says so", async (runtime) => {
		const graph = await runtime.loadGraph(mirror(shape));
		const store = runtime.createKvStore(shape);
		const outcome = expectTokError(
			"run",
			() => graph.run({ rows: freshRows(shape, 1) }, { store }),
			"disposed",
		);
		store.dispose();
		await outcome;
	}),
	conformanceCase("R21g", "a run whose bank is disposed meanwhile sees what it held", async (runtime) => {
		const graph = await runtime.loadGraph(mirror(shape, "batch"));
		const rows = freshRows(shape, 1);
		const bank = runtime.createKvBank(shape, 1);
		const store = bank.open(0);
		await graph.run({ rows }, { store });
		await store.write([{ segment: 0, row: 0, slot: 1, length: 1 }]);
		const running = graph.run({ rows }, { places: { bank, from: 0, to: 1 } });
		bank.dispose();
		const value = (await running)[seen(kvNames.value(0, 0))];
		expectEqual("value", value?.data ?? [], Float32Array.of(0, 0, ...rows.data.slice(2, 4)));
	}),
	conformanceCase(
		"R22a",
		"disposing the runtime disposes its sessions and stores, forks included",
		async (runtime) => {
			const session = await runtime.loadGraph(echo("float32"));
			const store = runtime.createKvStore(shape);
			const fork = store.fork();
			await runtime.dispose();
			await expectTokError("run", () => session.run({ x: counting([1]) }), "disposed");
			for (const open of [store, fork]) await expectTokError("grow", () => open.grow(0, 3), "disposed");
		},
	),
	conformanceCase("R22b", "a runtime may be disposed twice; then it makes nothing", async (runtime) => {
		await runtime.dispose();
		await runtime.dispose();
		await runtime[Symbol.asyncDispose]();
		await expectTokError("loadGraph", () => runtime.loadGraph(echo("float32")), "disposed");
		await expectTokError("createKvStore", () => runtime.createKvStore(shape), "disposed");
	}),
	conformanceCase(
		"R22c",
		"a graph that is loading when its runtime is disposed is an error",
		async (runtime) => {
			const loading = runtime.loadGraph(echo("float32"));
			// Handled from the start: it may reject before dispose has ended.
			const outcome = expectTokError("loadGraph", () => loading, "disposed");
			await runtime.dispose();
			await outcome;
		},
	),
	conformanceCase(
		"R23a",
		"a store beyond the memory limit is an error, before memory is taken",
		async (runtime) => {
			const slots = tooMany(runtime);
			await expectTokError(
				"createKvStore",
				() => runtime.createKvStore({ ...shape, slots: [slots] }),
				"memory",
			);
			const store = runtime.createKvStore(shape);
			const { bytes } = store;
			await expectTokError("grow", () => store.grow(0, slots), "memory");
			expectThat(
				"a store that could not grow is as before",
				store.bytes === bytes && store.shape.slots[0] === 2,
			);
		},
	),
];

/** Slots that no machine has memory for, and just more than the runtime allows. */
function tooMany({ memoryLimit = 2 ** 52 }: Runtime): number {
	const bytesPerSlot = shape.layers * shape.kvHeads * shape.headDim * 2 * 4;
	return Math.floor(memoryLimit / bytesPerSlot) + 1;
}
