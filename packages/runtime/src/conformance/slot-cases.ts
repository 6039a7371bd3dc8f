/** R27: slots that are read and filled by the host. R10: segments of some layers alone. */
import type { KvShape } from "../runtime.ts";
import {
	type ConformanceCase,
	conformanceCase,
	expectEqual,
	expectThat,
	expectTokError,
} from "./conformance-case.ts";
import { Bench, shape, wrapped } from "./store-bench.ts";

/** Numbers in a row: two layers, keys and values, two heads of three. */
const ROW = 2 * 2 * 2 * 3;

export const slotCases: readonly ConformanceCase[] = [
	conformanceCase("R27a", "slots are read as rows of every layer", async (runtime) => {
		const bench = await filled(runtime);
		const { store, naive } = bench;
		for (const [segment, slot, length] of [
			[1, 0, 5],
			[1, 3, 2],
			[0, 0, 1],
			[1, 5, 0],
			[2, 0, 0],
		] as const) {
			const rows = await store.readSlots(segment, slot, length);
			expectEqual(`segment ${segment}, slot ${slot}`, rows, naive.readSlots(segment, slot, length));
			// A copy: changing it changes nothing.
			rows.fill(7);
		}
		await bench.check("after reading");
	}),
	conformanceCase(
		"R27b",
		"rows that are written into slots are fed, and are those that are read",
		async (runtime) => {
			const bench = await filled(runtime);
			const { store, naive } = bench;
			const moved = await store.readSlots(1, 3, 2);
			await store.writeSlots(1, 0, moved);
			naive.writeSlots(1, 0, moved);
			await bench.check("after moving two slots");
			const rows = Float32Array.from({ length: ROW }, (_, i) => i / 8);
			await store.writeSlots(0, 0, rows);
			naive.writeSlots(0, 0, rows);
			await store.writeSlots(1, 2, new Float32Array(0));
			await bench.check("after a row of the host's");
			expectEqual("what was written", await store.readSlots(0, 0, 1), rows);
		},
	),
	conformanceCase("R27c", "rows of a run that were not yet written stay to be", async (runtime) => {
		const bench = await filled(runtime);
		const { store, naive } = bench;
		const rows = await bench.run(2);
		const moved = await store.readSlots(1, 3, 1);
		await store.writeSlots(1, 0, moved);
		naive.writeSlots(1, 0, moved);
		const writes = [{ segment: 1, row: 0, slot: 1, length: 2 }];
		await store.write(writes);
		naive.write(writes, rows);
		await bench.check("after slots and rows");
	}),
	conformanceCase(
		"R27d",
		"slots out of range and rows in part are errors, and change nothing",
		async (runtime) => {
			const bench = await filled(runtime);
			const { store } = bench;
			for (const [segment, slot, length] of [
				[1, 4, 2],
				[1, -1, 1],
				[1, 0, -1],
				[1, 0.5, 1],
				[1, 0, 0.5],
				[1, Number.NaN, 1],
				[2, 0, 1],
				[3, 0, 0],
			] as const)
				await expectTokError(
					`readSlots(${segment}, ${slot}, ${length})`,
					() => store.readSlots(segment, slot, length),
					"readSlots",
					segment,
				);
			for (const [segment, slot, numbers] of [
				[1, 4, 2 * ROW],
				[1, 0, ROW - 1],
				[2, 0, ROW],
				[3, 0, ROW],
			] as const)
				await expectTokError(
					`writeSlots(${segment}, ${slot}) of ${numbers} numbers`,
					() => store.writeSlots(segment, slot, new Float32Array(numbers)),
					"writeSlots",
					segment,
				);
			await bench.check("after errors");
		},
	),
	conformanceCase("R10c", "a segment of some layers has no buffers in the others", async (runtime) => {
		const some: KvShape = { ...shape, layers: 3, layersOf: [undefined, [0, 2], [1]] };
		const bench = await Bench.create(runtime, some);
		const { store, naive } = bench;
		expectThat("the shape is as given", JSON.stringify(store.shape) === JSON.stringify(some));
		expectEqual("bytes", [store.bytes], [2 * 3 * 2 * (3 * 1 + 2 * 5) * 4]);
		await bench.write(4, wrapped);
		await bench.check("after a write");
		const rows = await store.readSlots(1, 3, 2);
		expectEqual("rows of two layers", rows, naive.readSlots(1, 3, 2));
		await store.writeSlots(1, 0, rows);
		naive.writeSlots(1, 0, rows);
		store.grow(2, 2);
		naive.grow(2, 2);
		expectEqual("bytes when grown", [store.bytes], [2 * 3 * 2 * (3 * 1 + 2 * 5 + 2) * 4]);
		await bench.check("after slots and growing");
		const fork = bench.fork();
		bench.store.dispose();
		await fork.check("a fork");
	}),
	conformanceCase("R10d", "layers that are none, or in disorder, are an error", async (runtime) => {
		const wrong: readonly NonNullable<KvShape["layersOf"]>[] = [
			[[2]],
			[[-1]],
			[[1, 0]],
			[[0, 0]],
			[[0.5]],
			[[]],
			[undefined, undefined, undefined, [0]],
		];
		for (const layersOf of wrong) {
			const of = { ...shape, layersOf };
			await expectTokError(JSON.stringify(layersOf), () => runtime.createKvStore(of), "layersOf");
			await expectTokError(JSON.stringify(layersOf), () => runtime.createKvBank(of, 2), "layersOf");
		}
	}),
];

async function filled(runtime: Parameters<typeof Bench.create>[0]): Promise<Bench> {
	const bench = await Bench.create(runtime);
	await bench.write(4, wrapped);
	return bench;
}
