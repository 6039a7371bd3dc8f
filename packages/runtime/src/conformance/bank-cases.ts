/** R24, R25: stores side by side, and runs over several of them. */
import { type KvBank, type KvShape, type KvStore, kvNames, type Runtime, type Tensor } from "../runtime.ts";
import {
	type ConformanceCase,
	conformanceCase,
	expectEqual,
	expectThat,
	expectTokError,
} from "./conformance-case.ts";
import { freshRows, mirror, seen } from "./graphs.ts";
import { NaiveStore } from "./naive-store.ts";
import { floats } from "./tensors.ts";

const shape: KvShape = { layers: 2, kvHeads: 2, headDim: 3, slots: [1, 4] };

/** The fresh rows of several places, one after the other along the batch axis. */
function batchOf(rows: readonly Tensor[]): Tensor {
	const dims = rows[0]?.dims as readonly number[];
	return floats(
		[rows.length, ...dims.slice(1)],
		rows.flatMap(({ data }) => Array.from(data as Float32Array)),
	);
}

/** Fails unless a run over the places [from, …) is fed what the naive stores hold. */
async function expectFed(
	runtime: Runtime,
	bank: KvBank,
	from: number,
	naive: readonly NaiveStore[],
): Promise<void> {
	const graph = await runtime.loadGraph(mirror(shape, "batch"));
	const rows = batchOf(naive.map(() => freshRows(shape, 0)));
	const outputs = await graph.run({ rows }, { places: { bank, from, to: from + naive.length } });
	expectThat("fresh stays in the stores", !(kvNames.fresh in outputs));
	const buffers = naive.map((store) => store.buffers());
	for (const [name, { dims }] of buffers[0] as ReturnType<NaiveStore["buffers"]>) {
		const output = outputs[seen(name)];
		expectEqual(`dims of ${name}`, output?.dims ?? [], [naive.length, ...dims.slice(1)]);
		const expected = buffers.flatMap((each) => Array.from(each.get(name)?.data ?? []));
		expectEqual(name, output?.data ?? [], Float32Array.from(expected));
	}
	await graph.dispose();
}

export const bankCases: readonly ConformanceCase[] = [
	conformanceCase("R24a", "a bank's stores are stores of zeros, apart from each other", async (runtime) => {
		const bank = runtime.createKvBank(shape, 3);
		expectEqual("bytes", [bank.bytes], [3 * runtime.createKvStore(shape).bytes]);
		expectEqual("size", [bank.size], [3]);
		const graph = await runtime.loadGraph(mirror(shape));
		const naive = Array.from({ length: 3 }, () => new NaiveStore(shape));
		const write = async (store: KvStore, place: number): Promise<void> => {
			const rows = freshRows(shape, 2, 1 + 100 * place);
			await graph.run({ rows }, { store });
			const writes = [{ segment: 1, row: 0, slot: 1 + place, length: 2 - (place === 2 ? 1 : 0) }];
			await store.write(writes);
			naive[place]?.write(writes, rows);
		};
		const stores = [2, 0, 1].map((place) => ({ place, store: bank.open(place) }));
		for (const { store, place } of stores) await write(store, place);
		await expectFed(runtime, bank, 0, naive);
		const first = stores[1]?.store as KvStore;
		const fork = first.fork();
		fork.grow(1, 6);
		await expectTokError("growing in a bank", () => first.grow(1, 5), "grow", 5);
		first.dispose();
		naive[0] = new NaiveStore(shape);
		bank.open(0);
		await expectFed(runtime, bank, 0, naive);
		expectEqual("the fork's slots", fork.shape.slots, [1, 6]);
	}),
	conformanceCase(
		"R24b",
		"a place that is taken or is none is an error, and so is a bank that is none",
		async (runtime) => {
			const bank = runtime.createKvBank(shape, 2);
			bank.open(1);
			await expectTokError("taken", () => bank.open(1), "open", 1);
			for (const place of [-1, 2, 0.5, Number.NaN])
				await expectTokError("no place", () => bank.open(place), "open", place);
			for (const size of [0, -1, 1.5])
				await expectTokError("no size", () => runtime.createKvBank(shape, size), "createKvBank", size);
			await expectTokError("no shape", () => runtime.createKvBank({ ...shape, layers: 0 }, 2), "layers");
			bank.dispose();
			bank.dispose();
			expectEqual("bytes once disposed", [bank.bytes], [0]);
			await expectTokError("disposed", () => bank.open(0), "disposed");
		},
	),
	conformanceCase(
		"R25a",
		"a run over places feeds them as a batch, and leaves each store its own rows",
		async (runtime) => {
			const bank = runtime.createKvBank(shape, 4);
			const graph = await runtime.loadGraph(mirror(shape, "batch"));
			const naive = Array.from({ length: 4 }, () => new NaiveStore(shape));
			// Place 2 stays closed.
			const stores = [0, 1, 3].map((place) => ({ place, store: bank.open(place) }));
			const rows = [1, 2, 3].map((place) => freshRows(shape, 2, 1 + 100 * place));
			await graph.run({ rows: batchOf(rows) }, { places: { bank, from: 1, to: 4 } });
			for (const { store, place } of stores.filter((each) => each.place > 0)) {
				const writes = [{ segment: 1, row: 1, slot: place, length: 1 }];
				await store.write(writes);
				naive[place]?.write(writes, rows[place - 1] as Tensor);
			}
			await expectTokError("no rows for a place beside", () => stores[0]?.store.write([]), "write");
			await expectFed(runtime, bank, 0, naive);
			await expectFed(runtime, bank, 1, naive.slice(1, 3));
			await expectFed(runtime, bank, 3, naive.slice(3));
		},
	),
	conformanceCase(
		"R25b",
		"places that are none, and places beside a store, are errors",
		async (runtime, createRuntime) => {
			const bank = runtime.createKvBank(shape, 2);
			const store = bank.open(0);
			const graph = await runtime.loadGraph(mirror(shape, "batch"));
			const rows = freshRows(shape, 1);
			for (const [from, to] of [
				[0, 3],
				[-1, 1],
				[1, 1],
				[0, 0.5],
			] as const)
				await expectTokError(
					`${from} to ${to}`,
					() => graph.run({ rows }, { places: { bank, from, to } }),
					"places",
					to,
				);
			const places = { bank, from: 0, to: 1 };
			await expectTokError("a store too", () => graph.run({ rows }, { store, places }), "store");
			await expectTokError(
				"another batch",
				() => graph.run({ rows }, { places: { bank, from: 0, to: 2 } }),
				"batch",
			);
			const other = await createRuntime();
			const foreign = { bank: other.createKvBank(shape, 1), from: 0, to: 1 };
			await expectTokError("another runtime's", () => graph.run({ rows }, { places: foreign }), "bank");
			await other.dispose();
			await graph.run({ rows }, { places });
			await store.write([]);
		},
	),
	conformanceCase(
		"R22e",
		"dispose of a runtime disposes banks and their stores",
		async (_, createRuntime) => {
			const runtime = await createRuntime();
			const bank = runtime.createKvBank(shape, 2);
			const store = bank.open(0);
			await runtime.dispose();
			expectEqual("bytes", [bank.bytes, store.bytes], [0, 0]);
			await expectTokError("a store of a disposed bank", () => store.fork(), "disposed");
			await expectTokError("a new bank", () => runtime.createKvBank(shape, 1), "disposed");
		},
	),
];
