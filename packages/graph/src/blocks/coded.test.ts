/** The two products of attention with 8-bit codes, against the numbers that the codes stand for. */
import { expect, test } from "vitest";
import { GraphBuilder } from "../builder.ts";
import { coordinates, type NdArray, ndArray, sum } from "../testing/nd-array.ts";
import { randomTensor, seeded } from "../testing/random.ts";
import { runGraph } from "../testing/run-graph.ts";
import type { TensorData, Value } from "../types.ts";
import { type Coded, scoresOf, weightedSum } from "./coded.ts";

const [batch, heads, group, tokens, headDim, slots] = [2, 3, 2, 4, 16, 48];
const queryDims = [batch, heads, group, tokens, headDim];
const weightDims = [batch, heads, group, tokens, slots];
const keyDims = [batch, heads, 1, headDim, slots];
const valueDims = [batch, heads, 1, slots, headDim];
/** The largest code of a key, and of a value. */
const [KEY, VALUE] = [127, 63];

/** `left` times codes with these scales, and both as numbers. */
async function product(
	multiply: (left: Value<"float32">, stored: Coded) => Value<"float32">,
	left: TensorData<"float32">,
	codes: TensorData<"int8">,
	scale: TensorData<"float32">,
): Promise<{ readonly got: NdArray; readonly left: NdArray; readonly stored: NdArray }> {
	const graph = new GraphBuilder("coded");
	const stored = {
		codes: graph.input("codes", "int8", codes.dims),
		scale: graph.input("scale", "float32", scale.dims),
	};
	graph.output(multiply(graph.input("left", "float32", left.dims), stored), "product");
	const { product } = await runGraph(graph, { left, codes, scale });
	const [code, step] = [ndArray(codes), ndArray(scale)];
	const numbers: NdArray = { dims: codes.dims, at: (...index) => code.at(...index) * step.at(...index) };
	return { got: ndArray(product as TensorData), left: ndArray(left), stored: numbers };
}

test("scores are off by no more than half a 63rd of a query's largest number, times the key", async () => {
	const random = seeded(1);
	const { got, left, stored } = await product(
		scoresOf,
		randomTensor(random, "float32", queryDims),
		randomTensor(random, "int8", keyDims, [-KEY, KEY + 1]),
		randomTensor(random, "float32", keyDims.with(3, 1), [0.002, 0.02]),
	);
	expect(got.dims).toEqual(weightDims);
	for (const [b, h, g, t, slot] of coordinates(weightDims) as Iterable<
		[number, number, number, number, number]
	>) {
		const exact = sum(headDim, (d) => left.at(b, h, g, t, d) * stored.at(b, h, 0, d, slot));
		const most = Math.max(...Array.from({ length: headDim }, (_, d) => Math.abs(left.at(b, h, g, t, d))));
		const allowed = sum(headDim, (d) => (most / 126) * Math.abs(stored.at(b, h, 0, d, slot)));
		expect(Math.abs(got.at(b, h, g, t, slot) - exact)).toBeLessThanOrEqual(allowed + 1e-5);
	}
});

test("sums are off by no more than half a 255th of the largest weight times its scale", async () => {
	const random = seeded(2);
	const scale = randomTensor(random, "float32", valueDims.with(4, 1), [0.002, 0.02]);
	const { got, left, stored } = await product(
		weightedSum,
		randomTensor(random, "float32", weightDims, [0, 1]),
		randomTensor(random, "int8", valueDims, [-VALUE, VALUE + 1]),
		scale,
	);
	const step = ndArray(scale);
	expect(got.dims).toEqual(queryDims);
	for (const [b, h, g, t, d] of coordinates(queryDims) as Iterable<
		[number, number, number, number, number]
	>) {
		const all = Array.from({ length: slots }, (_, slot) => slot);
		const exact = sum(slots, (slot) => left.at(b, h, g, t, slot) * stored.at(b, h, 0, slot, d));
		const most = Math.max(...all.map((slot) => left.at(b, h, g, t, slot) * step.at(b, h, 0, slot, 0)));
		const allowed = sum(
			slots,
			(slot) => (most / 510) * Math.abs(stored.at(b, h, 0, slot, d) / step.at(b, h, 0, slot, 0)),
		);
		expect(Math.abs(got.at(b, h, g, t, d) - exact)).toBeLessThanOrEqual(allowed + 1e-5);
	}
});

// Only a processor without VNNI, which adds pairs in 16 bits, can fail this.
test("the largest codes of either side, in every place, are added without saturating", async () => {
	const count = (dims: readonly number[]): number => dims.reduce((a, b) => a * b);
	const floats = (dims: readonly number[], x: number): TensorData<"float32"> => ({
		dtype: "float32",
		dims,
		data: new Float32Array(count(dims)).fill(x),
	});
	const codes = (dims: readonly number[], x: number): TensorData<"int8"> => ({
		dtype: "int8",
		dims,
		data: new Int8Array(count(dims)).fill(x),
	});
	const scores = await product(
		scoresOf,
		floats(queryDims, 2),
		codes(keyDims, KEY),
		floats(keyDims.with(3, 1), 0.01),
	);
	expect(scores.got.at(1, 2, 1, 3, 47)).toBeCloseTo(2 * headDim * KEY * 0.01, 3);
	const sums = await product(
		weightedSum,
		floats(weightDims, 0.5),
		codes(valueDims, -VALUE),
		floats(valueDims.with(4, 1), 0.01),
	);
	expect(sums.got.at(1, 2, 1, 3, 15)).toBeCloseTo(-0.5 * slots * VALUE * 0.01, 3);
});

test("rows of zeros give zeros", async () => {
	const random = seeded(3);
	const zeros = (dims: readonly number[]): TensorData<"float32"> => ({
		dtype: "float32",
		dims,
		data: new Float32Array(dims.reduce((a, b) => a * b)),
	});
	const scores = await product(
		scoresOf,
		zeros(queryDims),
		randomTensor(random, "int8", keyDims, [-KEY, KEY + 1]),
		randomTensor(random, "float32", keyDims.with(3, 1), [0.002, 0.02]),
	);
	for (const index of coordinates(weightDims)) expect(Math.abs(scores.got.at(...index))).toBe(0);
	const sums = await product(
		weightedSum,
		zeros(weightDims),
		randomTensor(random, "int8", valueDims, [-VALUE, VALUE + 1]),
		randomTensor(random, "float32", valueDims.with(4, 1), [0.002, 0.02]),
	);
	for (const index of coordinates(queryDims)) expect(Math.abs(sums.got.at(...index))).toBe(0);
});
