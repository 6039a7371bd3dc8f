/** Parts of blocks, and what becomes of them. */
import { expect, test } from "vitest";
import { Slab } from "./slab.ts";

test("arrays are zeros of any length, begin at a line, and lie apart in one block", () => {
	const lengths = [3, 0, 16, 17];
	const slab = new Slab(lengths.flatMap((length) => [4 * length, length]));
	const arrays = lengths.flatMap((length) => [slab.floats(length), slab.codes(length)]);
	expect(arrays.map(({ length }) => length)).toEqual([3, 3, 0, 0, 16, 16, 17, 17]);
	for (const array of arrays) {
		expect(array.byteOffset % 64).toBe(0);
		expect(array.every((each) => each === 0)).toBe(true);
	}
	for (const [value, array] of arrays.entries()) array.fill(value);
	for (const [value, array] of arrays.entries()) expect(array.every((each) => each === value)).toBe(true);
	expect(new Set(arrays.map(({ buffer }) => buffer)).size).toBe(1);
	expect(arrays[0]?.buffer.byteLength).toBe(128 + 0 + 128 + 192);
});

test("no block is larger than 256 MiB, but for an array that is, and none has room that no array takes", () => {
	const [small, codes, large] = [2 ** 10, 100 * 2 ** 20, 2 ** 28 + 1];
	const lengths = [codes, small, codes, small, large, small, codes, small, codes, small];
	const blocks: number[] = [];
	const freed: number[] = [];
	const slab = new Slab(lengths, {
		allocate(bytes) {
			blocks.push(bytes);
			return new Uint8Array(bytes);
		},
		free: (block) => freed.push(block.length),
	});
	expect(blocks).toEqual([]);
	const ends = lengths.map((length) => slab.codes(length)).map(({ buffer }) => buffer.byteLength);
	const pair = 2 * (codes + small);
	expect(blocks).toEqual([pair, large + 63, pair + small]);
	expect(ends).toEqual([pair, pair, pair, pair, large + 63, ...new Array(5).fill(pair + small)]);
	slab.free();
	expect(freed).toEqual(blocks);
});

// Node 20 has no ArrayBuffer.prototype.transfer, and leaves them to the garbage collector.
test.skipIf(!("transfer" in ArrayBuffer.prototype))("free ends all arrays", () => {
	const slab = new Slab([2 ** 28, 2 ** 28, 2 ** 28]);
	const arrays = [slab.codes(2 ** 28), slab.codes(2 ** 28), slab.floats(2 ** 26)];
	slab.free();
	expect(arrays.map(({ length }) => length)).toEqual([0, 0, 0]);
});
