/**
 * R13: what a step costs does not depend on the window. Counted, not timed: every number that a write stores, by
 * index or by `set`, passes a counting array.
 */
import type { KvShape } from "@tok/runtime";
import { freshRows } from "@tok/runtime/conformance";
import * as ort from "onnxruntime-common";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { hostMemory } from "./host/host-segment.ts";
import { SegmentBank } from "./kv/bank.ts";
import { SegmentStore } from "./kv/store.ts";
import { Resources } from "./resources.ts";

const geometry = { layers: 3, kvHeads: 2, headDim: 8 };

function shape(slots: number): KvShape {
	return { ...geometry, slots: [2, slots] };
}

function fresh(tokens: number): ort.Tensor {
	const { data, dims } = freshRows(shape(0), tokens);
	return new ort.Tensor("float32", data, dims);
}

describe("a write", () => {
	const windows = [8, 64, 4096];
	/** Made before arrays are counted, and freed by the write. */
	const outputs = new Map([1, 5].map((rows) => [rows, windows.map(() => fresh(rows))]));
	let stored = 0;
	let allocated = 0;

	beforeEach(() => {
		const { Float32Array: Plain } = globalThis;
		/** Counts the numbers stored into arrays that are made while the test runs. */
		class Counting extends Plain {
			constructor(...from: ConstructorParameters<typeof Plain>) {
				super(...from);
				allocated++;
				// biome-ignore lint/correctness/noConstructorReturn: a proxy is the one way to see `array[i] = x`.
				return new Proxy<Counting>(this, {
					set(target, index, value) {
						stored++;
						return Reflect.set(target, index, value, target);
					},
					get(target, name) {
						const member = Reflect.get(target, name, target);
						if (typeof member !== "function") return member;
						return (...values: unknown[]) => {
							if (name !== "set") throw new Error(`a write called ${String(name)}, which is not counted`);
							stored += (values[0] as ArrayLike<number>).length;
							return member.apply(target, values);
						};
					},
				});
			}
		}
		vi.stubGlobal("Float32Array", Counting);
	});

	afterEach(() => {
		vi.unstubAllGlobals();
	});

	test.each([1, 5])(
		"R13: of %i rows stores as many numbers whatever the slots, and allocates nothing",
		async (rows) => {
			const context = { resources: new Resources("runtime-test", 2 ** 30), memory: hostMemory(ort.Tensor) };
			for (const [i, slots] of windows.entries()) {
				const store = SegmentStore.create(context, shape(slots));
				store.keep(outputs.get(rows)?.[i]);
				stored = 0;
				allocated = 0;
				await store.write([{ segment: 1, row: 0, slot: slots - rows, length: rows }]);
				const { layers, kvHeads, headDim } = geometry;
				expect({ slots, stored, allocated }).toEqual({
					slots,
					stored: rows * layers * 2 * kvHeads * headDim,
					allocated: 0,
				});
			}
		},
	);
});

test("rows are freed when they have been written, those of a bank when each of its stores has written them", async () => {
	const context = { resources: new Resources("runtime-test", 2 ** 30), memory: hostMemory(ort.Tensor) };
	const write = [{ segment: 1, row: 0, slot: 0, length: 1 }];
	const freed = ({ data }: ort.Tensor): boolean => (data as Float32Array).length === 0;
	const one = fresh(1);
	const store = SegmentStore.create(context, shape(8));
	store.keep(one);
	expect(freed(one)).toBe(false);
	await store.write(write);
	expect(freed(one)).toBe(true);

	const bank = new SegmentBank(context, shape(8), 3);
	const [first, second] = [bank.open(0), bank.open(2)];
	const { data, dims } = freshRows(shape(0), 1);
	const three = new ort.Tensor(
		"float32",
		Float32Array.from({ length: 3 * data.length }, (_, i) => i),
		[3, ...dims.slice(1)],
	);
	bank.places(0, 3).keep(three);
	await first.write(write);
	expect(freed(three)).toBe(false);
	await second.write(write);
	expect(freed(three)).toBe(true);
	expect(Math.max(...(await second.readSlots(1, 0, 1)))).toBe(3 * data.length - 1);
});

// Node 20 has no ArrayBuffer.prototype.transfer, and leaves them to the garbage collector.
test.skipIf(!("transfer" in ArrayBuffer.prototype))(
	"buffers are freed when they have grown or were disposed, and nobody reads them any more",
	() => {
		const context = { resources: new Resources("runtime-test", 2 ** 30), memory: hostMemory(ort.Tensor) };
		const lengths = ({ tensors }: Pick<SegmentStore, "tensors">): (() => number) => {
			const arrays = Object.entries(tensors).flatMap(([name, { data }]) =>
				name.startsWith("past.1.") ? [data as Float32Array] : [],
			);
			expect(arrays).toHaveLength(6);
			return () => arrays.reduce((sum, { length }) => sum + length, 0);
		};
		const store = SegmentStore.create(context, shape(8));
		const small = lengths(store);
		expect(small()).toBe(8 * 3 * 2 * 2 * 8);
		store.grow(1, 16);
		expect(small()).toBe(0);
		const large = lengths(store);
		store.hold();
		store.dispose();
		expect(large()).toBe(16 * 3 * 2 * 2 * 8);
		store.release();
		expect(large()).toBe(0);

		const bank = new SegmentBank(context, shape(8), 2);
		const place = lengths(bank.open(1) as SegmentStore);
		bank.open(0).dispose();
		const run = bank.places(0, 2);
		run.hold();
		bank.dispose();
		expect(place()).toBe(8 * 3 * 2 * 2 * 8);
		run.release();
		expect(place()).toBe(0);
	},
);

describe("the tensors that feed onnxruntime", () => {
	const context = { resources: new Resources("runtime-test", 2 ** 30), memory: hostMemory(ort.Tensor) };

	test("are the same objects over the same memory from step to step", async () => {
		const store = SegmentStore.create(context, shape(16));
		const { tensors } = store;
		const buffers = Object.values(tensors).map(({ data }) => (data as Float32Array).buffer);
		for (let step = 0; step < 40; step++) {
			store.keep(fresh(1));
			await store.write([{ segment: 1, row: 0, slot: step % 16, length: 1 }]);
			expect(store.tensors).toBe(tensors);
		}
		expect(Object.values(store.tensors).map(({ data }) => (data as Float32Array).buffer)).toEqual(buffers);
		expect(tensors["past.1.0.key"]?.data).not.toContain(0);
	});

	test("are replaced when a segment grows, and only then", () => {
		const store = SegmentStore.create(context, shape(16));
		const { tensors } = store;
		store.grow(1, 16);
		expect(store.tensors).toBe(tensors);
		store.grow(1, 32);
		expect(store.tensors).not.toBe(tensors);
		expect(store.tensors["past.1.0.key"]?.dims).toEqual([1, 2, 1, 8, 32]);
	});
});
