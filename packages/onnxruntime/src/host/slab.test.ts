/** Parts of blocks, and what becomes of them. */
import { expect, test } from "vitest";
import { Slab } from "./slab.ts";

test("arrays are zeros of any length, begin at a line, and lie apart in one block", () => {
	const lengths = [3, 0, 16, 17];
	const slab = new Slab(lengths.reduce((sum, length) => sum + Slab.part(4 * length) + Slab.part(length), 0));
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

test("no block is larger than 256 MiB, but for an array that is, nor than the arrays that fit", () => {
	const [small, large] = [100 * 2 ** 20, 2 ** 28 + 1];
	const slab = new Slab(4 * Slab.part(small) + Slab.part(large));
	const sizes = [small, small, large, small, small].map((length) => slab.codes(length).buffer.byteLength);
	expect(sizes).toEqual([2 * small, 2 * small, Slab.part(large), 2 * small, 2 * small]);
});

// Node 20 has no ArrayBuffer.prototype.transfer, and leaves them to the garbage collector.
test.skipIf(!("transfer" in ArrayBuffer.prototype))("free ends all arrays", () => {
	const slab = new Slab(3 * Slab.part(2 ** 28));
	const arrays = [slab.codes(2 ** 28), slab.codes(2 ** 28), slab.floats(2 ** 26)];
	slab.free();
	expect(arrays.map(({ length }) => length)).toEqual([0, 0, 0]);
});
