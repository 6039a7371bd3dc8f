/** Memory of weights, and that a graph's matrices lie in it. */
import { parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { expect, test } from "vitest";
import { loadModel } from "../load-model.ts";
import type { Precision } from "../model.ts";
import { removeFolder, tinyModelFolder } from "../testing/tiny-model.ts";
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

test.each<Precision>(["exact", "fast"])(
	"in `%s` a graph's matrices are freed when it is loaded",
	async (precision) => {
		await using runtime = cpu({ threads: 1 });
		const loadGraph = runtime.loadGraph.bind(runtime);
		let arrays: Uint8Array[] = [];
		let given = 0;
		runtime.loadGraph = (file, options) =>
			loadGraph(() => {
				const made = typeof file === "function" ? file() : file;
				arrays = (made.weights ?? []).map(({ data }) => data);
				given = bytesOf(arrays);
				return made;
			}, options);
		const folder = tinyModelFolder();
		try {
			await using model = await loadModel(folder, { runtime, precision });
			await model.prepare(parsePolicy("sink:4,rolling:28"));
		} finally {
			removeFolder(folder);
		}
		expect(given).toBeGreaterThan(100_000);
		// What is left are norms. Engines without transfer() free the rest with their garbage.
		if ("transfer" in ArrayBuffer.prototype) expect(bytesOf(arrays)).toBeLessThan(0.02 * given);
	},
);

function bytesOf(arrays: readonly Uint8Array[]): number {
	return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
}
