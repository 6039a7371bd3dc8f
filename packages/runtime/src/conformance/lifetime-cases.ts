/** R21–R24: disposal and memory limits. */
import type { KvShape, Runtime } from "../runtime.ts";
import {
	type ConformanceCase,
	conformanceCase,
	expectEqual,
	expectThat,
	expectTokError,
} from "./conformance-case.ts";
import { echo, freshRows, mirror } from "./graphs.ts";
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
