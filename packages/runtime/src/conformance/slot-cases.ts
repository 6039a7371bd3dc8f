/** R27: slots that are read and filled by the host. R10: segments of some layers alone. */
import type { KvShape, KvStore, Runtime } from "../runtime.ts";
import {
	type ConformanceCase,
	conformanceCase,
	expectEqual,
	expectThat,
	expectTokError,
} from "./conformance-case.ts";
import { NaiveStore } from "./naive-store.ts";
import { Bench, shape, wrapped } from "./store-bench.ts";
import { Numbers } from "./tensors.ts";

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
	conformanceCase("R10c", "a segment of some heads has no buffers in the others", async (runtime) => {
		const some: KvShape = {
			...shape,
			layers: 3,
			kinds: [
				undefined,
				{
					parts: [
						{ layer: 0, heads: [1] },
						{ layer: 2, heads: [0, 1] },
					],
				},
				{ parts: [{ layer: 1, heads: [0] }] },
			],
		};
		// Keys and values, per head of three numbers: six in the sink's slot, three in each of five.
		await exercise(runtime, some, { bytes: 2 * 3 * 4 * (6 * 1 + 3 * 5), grown: 2 * 3 * 4 * 2 });
	}),
	conformanceCase(
		"R10d",
		"a segment of 8-bit codes feeds them and their scales, or is an error",
		async (runtime) => {
			const coded: KvShape = {
				...shape,
				kinds: [undefined, { format: "int8" }, { format: "int8", parts: [{ layer: 1, heads: [1] }] }],
			};
			expectThat("float32 is among the formats", runtime.kvFormats.includes("float32"));
			if (!runtime.kvFormats.includes("int8")) {
				await expectTokError("int8", () => runtime.createKvStore(coded), "format", "float32");
				return;
			}
			await exercise(runtime, coded, { bytes: 2 * 4 * (3 * 4 + 5 * (3 + 4)), grown: 2 * 2 * (3 + 4) });
		},
	),
	conformanceCase("R10f", "8-bit codes that were read are written back as they were", async (runtime) => {
		if (!runtime.kvFormats.includes("int8")) return;
		const slots = 500;
		const kinds = [{ format: "int8" as const }];
		const store = runtime.createKvStore({ layers: 1, kvHeads: 1, headDim: 4, slots: [slots], kinds });
		await store.writeSlots(0, 0, new Numbers(5).tensor([2 * slots * 4]).data);
		const before = await contentOf(store);
		await store.writeSlots(0, 0, await store.readSlots(0, 0, slots));
		expectEqual("codes and scales", await contentOf(store), before);
		store.dispose();
	}),
	conformanceCase(
		"R10g",
		"a segment of float16 feeds the nearest numbers, or is an error",
		async (runtime) => {
			const half: KvShape = {
				...shape,
				headDim: 4,
				kinds: [undefined, { format: "float16" }, { format: "float16", parts: [{ layer: 1, heads: [1] }] }],
			};
			if (!runtime.kvFormats.includes("float16")) {
				await expectTokError("float16", () => runtime.createKvStore(half), "format", "float32");
				return;
			}
			await expectTokError("odd", () => runtime.createKvStore({ ...half, headDim: 3 }), "even headDim");
			// Keys and values, four numbers a head: in float32 in the sink's slot, in float16 in each of five.
			await exercise(runtime, half, { bytes: 2 * 4 * 4 * (4 * 1 + 2 * 5), grown: 2 * 4 * 2 * 2 });
			const store = runtime.createKvStore({ ...half, slots: [0, 7, 0] });
			const numbers = new Numbers(6).tensor([7 * 2 * 2 * 2 * 4]).data;
			await store.writeSlots(1, 0, numbers);
			const read = await store.readSlots(1, 0, 7);
			// Half a step of the last of 11 digits; below 2 ** -14 steps are equal.
			const isNear = (x: number, i: number): boolean =>
				Math.abs(x - (numbers[i] as number)) <= Math.max(2 ** -25, 2 ** -11 * Math.abs(x));
			expectThat("numbers are the nearest", read.every(isNear));
			await store.writeSlots(1, 0, read);
			expectEqual("numbers of float16 stay", await store.readSlots(1, 0, 7), read);
			store.dispose();
		},
	),
	conformanceCase("R28a", "sparse values are values, wherever they lie", async (runtime) => {
		const coded = runtime.kvFormats.includes("int8") ? { format: "int8" as const } : {};
		const parts = [{ layer: 1, heads: [1] }];
		const sparse: KvShape = {
			...shape,
			kinds: [undefined, { sparseValues: true, ...coded }, { sparseValues: true, parts }],
		};
		const head = (slots: number): number => slots * 2 * 4 * 3; // float32 key and value, headDim of 3
		const segment = coded.format === undefined ? 4 * head(5) : 4 * 5 * 2 * (3 + 4);
		await exercise(runtime, sparse, { bytes: 4 * head(1) + segment, grown: head(2) });
		const store = runtime.createKvStore({ ...sparse, slots: [1, 5, 2] });
		const bank = runtime.createKvBank(sparse, 3);
		const onDisk = (slots: number): number => (runtime.valuesOnDisk ? slots : 0);
		expectEqual("bytes on disk", [store.diskBytes], [onDisk((segment + head(2)) / 2)]);
		expectEqual("bytes of a fork on disk", [store.fork().diskBytes], [store.diskBytes]);
		expectEqual("bytes of a bank on disk", [bank.diskBytes], [onDisk((3 * segment) / 2)]);
		expectEqual("bytes of a place on disk", [bank.open(1).diskBytes], [onDisk(segment / 2)]);
		for (const each of [store, bank]) each.dispose();
		expectEqual("once disposed", [store.diskBytes, bank.diskBytes], [0, 0]);
		const dense = runtime.createKvStore(shape);
		expectEqual("bytes on disk of other segments", [dense.diskBytes], [0]);
		dense.dispose();
	}),
	conformanceCase("R10e", "kinds that are none are an error", async (runtime) => {
		const heads = [0];
		const wrong: readonly unknown[] = [
			[{ format: "int4" }],
			[{ parts: [] }],
			[{ parts: [{ layer: 2, heads }] }],
			[{ parts: [{ layer: -1, heads }] }],
			[{ parts: [{ layer: 0.5, heads }] }],
			[
				{
					parts: [
						{ layer: 1, heads },
						{ layer: 0, heads },
					],
				},
			],
			[
				{
					parts: [
						{ layer: 0, heads },
						{ layer: 0, heads },
					],
				},
			],
			[{ parts: [{ layer: 0, heads: [] }] }],
			[{ parts: [{ layer: 0, heads: [2] }] }],
			[{ parts: [{ layer: 0, heads: [1, 0] }] }],
			[undefined, undefined, undefined, {}],
		];
		for (const kinds of wrong) {
			const of = { ...shape, kinds: kinds as NonNullable<KvShape["kinds"]> };
			await expectTokError(JSON.stringify(kinds), () => runtime.createKvStore(of), "kinds");
			await expectTokError(JSON.stringify(kinds), () => runtime.createKvBank(of, 2), "kinds");
		}
	}),
];

async function contentOf(store: KvStore): Promise<number[]> {
	const bytes: number[] = [];
	for await (const part of store.read()) bytes.push(...part);
	return bytes;
}

async function filled(runtime: Parameters<typeof Bench.create>[0]): Promise<Bench> {
	const bench = await Bench.create(runtime);
	await bench.write(4, wrapped);
	return bench;
}

/** Writes, slots, growing, forks and files of a store whose segments differ. */
async function exercise(
	runtime: Runtime,
	of: KvShape,
	{ bytes, grown }: { readonly bytes: number; readonly grown: number },
): Promise<void> {
	const bench = await Bench.create(runtime, of);
	const { store, naive } = bench;
	expectThat("the shape is as given", JSON.stringify(store.shape) === JSON.stringify(of));
	expectEqual("bytes", [store.bytes], [bytes]);
	await bench.check("new");
	await bench.write(4, wrapped);
	await bench.check("after a write");
	const rows = await store.readSlots(1, 3, 2);
	expectEqual("rows", rows, naive.readSlots(1, 3, 2));
	await store.writeSlots(1, 0, rows);
	naive.writeSlots(1, 0, rows);
	expectEqual("rows that were read and written", await store.readSlots(1, 0, 2), rows);
	await bench.check("after slots");
	store.grow(2, 2);
	naive.grow(2, 2);
	expectEqual("bytes when grown", [store.bytes], [bytes + grown]);
	await bench.check("after growing");
	const parts: Uint8Array[] = [];
	for await (const part of store.read()) parts.push(part.slice());
	const fork = bench.fork();
	await bench.write(2, [{ segment: 1, row: 0, slot: 1, length: 2 }]);
	await fork.check("a fork, after the original changed");
	await store.load(parts);
	fork.store.dispose();
	await new Bench(store, fork.naive, bench.graph).check("loaded");
	const bank = runtime.createKvBank(of, 2);
	expectEqual("bytes of a bank", [bank.bytes], [2 * bytes]);
	await new Bench(bank.open(1), new NaiveStore(of), bench.graph).check("a store of a bank");
	bank.dispose();
}
