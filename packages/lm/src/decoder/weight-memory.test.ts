import { expect, test } from "vitest";
import { WeightMemory } from "./weight-memory.ts";

test("arrays are zeros, aligned, apart from each other, and of any length", () => {
	const memory = new WeightMemory();
	const large = 70 * 2 ** 20;
	const arrays = [memory.bytes(3), memory.floats(5), memory.bytes(0), memory.bytes(large), memory.floats(1)];
	expect(arrays.map(({ length }) => length)).toEqual([3, 5, 0, large, 1]);
	for (const array of arrays) expect(array.byteOffset % 64).toBe(0);
	for (const [value, array] of arrays.entries()) array.fill(value + 1);
	for (const [value, array] of arrays.entries()) expect(array.every((each) => each === value + 1)).toBe(true);
	expect(memory.floats(9).every((each) => each === 0)).toBe(true);
});

test("release ends the arrays where the engine can, and the memory may be used anew", () => {
	const memory = new WeightMemory();
	const floats = memory.floats(8);
	memory.release();
	if ("transfer" in ArrayBuffer.prototype) expect(floats).toHaveLength(0);
	expect(memory.floats(8)).toEqual(new Float32Array(8));
});
