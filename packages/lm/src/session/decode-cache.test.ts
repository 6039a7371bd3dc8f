/** Caches in 8 bits, and in float16, read by a runtime that keeps float32 alone. */
import { float16Bits } from "@tok/graph";
import { type KvFormat, type KvShape, kvSlotBytes } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { expect, test } from "vitest";
import { decodeCache, decodedShape } from "./decode-cache.ts";

const coded: KvShape = {
	layers: 3,
	kvHeads: 2,
	headDim: 4,
	slots: [2, 5, 3],
	kinds: [
		undefined,
		{ format: "int8" },
		{
			format: "int8",
			parts: [
				{ layer: 0, heads: [1] },
				{ layer: 2, heads: [0, 1] },
			],
		},
	],
};

test("a shape keeps its heads, and loses the formats that are not there", () => {
	expect(decodedShape(coded, ["float32", "int8"])).toEqual(coded);
	expect(decodedShape({ ...coded, kinds: [undefined, { format: "int8" }, undefined] }, ["float32"])).toEqual({
		layers: 3,
		kvHeads: 2,
		headDim: 4,
		slots: [2, 5, 3],
	});
	expect(decodedShape(coded, ["float32"]).kinds).toEqual([
		undefined,
		undefined,
		{ parts: coded.kinds?.[2]?.parts },
	]);
});

test.each([1, 7, 4096])("slots are the same numbers, read in pieces of %i bytes", async (size) => {
	await using runtime = cpu({ threads: 1 });
	const store = runtime.createKvStore(coded);
	for (const [segment, slots] of coded.slots.entries()) {
		const length = (kvSlotBytes(decodedShape(coded, ["float32"]), segment) / 4) * slots;
		await store.writeSlots(
			segment,
			0,
			Float32Array.from({ length }, (_, i) => Math.sin(i * 1.7 + segment)),
		);
	}
	const bytes: number[] = [];
	for await (const part of store.read()) bytes.push(...part);
	const other = runtime.createKvStore(decodedShape(coded, ["float32"]));
	await other.load(decodeCache(coded, ["float32"], cut(Uint8Array.from(bytes), size)));
	for (const [segment, slots] of coded.slots.entries())
		expect(await other.readSlots(segment, 0, slots)).toEqual(await store.readSlots(segment, 0, slots));
	await expect(
		other.load(decodeCache(coded, ["float32"], cut(Uint8Array.from(bytes.slice(0, -9)), size))),
	).rejects.toThrow("load: expected");
});

test("float16 becomes the same numbers in float32, and stays where it is known", async () => {
	const half: KvShape = {
		layers: 1,
		kvHeads: 1,
		headDim: 2,
		slots: [1, 2],
		kinds: [undefined, { format: "float16" }],
	};
	const sink = Float32Array.of(1, 2, 3, 4);
	const numbers = [0.5, -1, 65504, 2 ** -24, 0, 1 / 3, 100, -3];
	const window = Uint16Array.from(numbers, float16Bits);
	const file = new Uint8Array([...new Uint8Array(sink.buffer), ...new Uint8Array(window.buffer)]);
	const read = async (formats: readonly KvFormat[], length = file.length): Promise<Uint8Array> => {
		const bytes: number[] = [];
		for await (const part of decodeCache(half, formats, cut(file.slice(0, length), 5))) bytes.push(...part);
		return Uint8Array.from(bytes);
	};
	expect(await read(["float32", "float16"])).toEqual(file);
	const wide = new Float32Array((await read(["float32"])).buffer);
	expect([...wide]).toEqual([...sink, ...numbers.map((x) => (x === 1 / 3 ? 0.333251953125 : x))]);
	// Cut within a number: the store says what is missing.
	expect(await read(["float32"], file.length - 1)).toHaveLength(4 * (4 + 7));
});

function* cut(bytes: Uint8Array, size: number): Generator<Uint8Array> {
	for (let from = 0; from < bytes.length; from += size) yield bytes.slice(from, from + size);
}
