/** Names, scopes, constants, outputs, and what `build` leaves out and refuses. */
import { fromBinary } from "@bufbuild/protobuf";
import { ModelProtoSchema } from "onnx-buf";
import { expect, test } from "vitest";
import { float16Bits } from "./dtypes.ts";
import {
	add,
	cast,
	concat,
	GraphBuilder,
	matMul,
	mul,
	readGraph,
	reshape,
	shapeOf,
	slice,
	softmax,
	split,
	transpose,
} from "./index.ts";
import { float16Value } from "./testing/nd-array.ts";
import { createSession, runGraph } from "./testing/run-graph.ts";
import type { TensorData } from "./types.ts";

function floats(dims: readonly number[], value = 1): TensorData<"float32"> {
	const count = dims.reduce((product, dim) => product * dim, 1);
	return { dtype: "float32", dims, data: new Float32Array(count).fill(value) };
}

test("scopes prefix nodes and constants, and number what repeats; inputs and outputs keep their names", () => {
	const g = new GraphBuilder("g");
	const x = g.scope("layers.3", () => g.input("x", "float32", ["tokens", 4]));
	const [first, second, deep] = g.scope("layers.3", () => {
		const w = g.constant("w", floats([4, 4]));
		return [matMul(x, w), matMul(x, w), g.scope("attention", () => matMul(x, w))];
	});
	g.output(add(add(first, second), deep), "y");
	const { nodes, initialisers, inputs, outputs } = readGraph(g.build().model);
	expect(nodes.map(({ name }) => name)).toEqual([
		"layers.3/MatMul",
		"layers.3/MatMul_1",
		"layers.3/attention/MatMul",
		"Add",
		"Add_1",
	]);
	expect(initialisers.map(({ name }) => name)).toEqual(["layers.3/w"]);
	expect([...inputs, ...outputs].map(({ name }) => name)).toEqual(["x", "y"]);
});

test("a scope ends when its body throws", () => {
	const g = new GraphBuilder("g");
	expect(() =>
		g.scope("a", () => {
			throw new Error("body");
		}),
	).toThrow("body");
	expect(g.constant("w", floats([1])).name).toBe("w");
});

test("symbolic dimensions reach the file and onnxruntime as dim_param", async () => {
	const g = new GraphBuilder("g");
	const past = g.input("past", "float32", ["batch", "slots", 4]);
	const fresh = g.input("fresh", "float32", ["batch", "tokens", 4]);
	g.output(concat([past, fresh], 1), "all");
	const { inputs, outputs } = readGraph(g.build().model);
	expect(inputs.map(({ shape }) => shape)).toEqual([
		["batch", "slots", 4],
		["batch", "tokens", 4],
	]);
	expect(outputs).toEqual([{ name: "all", dtype: "float32", shape: ["batch", "slots+tokens", 4] }]);
	const session = await createSession(g);
	expect(session.inputMetadata[0]).toMatchObject({ name: "past", shape: ["batch", "slots", 4] });
	expect(session.outputMetadata[0]).toMatchObject({ name: "all", shape: ["batch", "slots+tokens", 4] });
	await session.release();
});

test("the file says the shape of every value, outputs under their own names", () => {
	const g = new GraphBuilder("g");
	const x = g.input("x", "float32", ["tokens", 4]);
	g.output(add(mul(x, 2), x), "y");
	const { graph } = fromBinary(ModelProtoSchema, g.build().model);
	const [mul0, ...rest] = graph?.valueInfo ?? [];
	expect([mul0?.name, rest]).toEqual(["Mul", []]);
	const shape = mul0?.type?.value.case === "tensorType" ? mul0.type.value.value.shape : undefined;
	expect(shape?.dim.map(({ value }) => value.value)).toEqual(["tokens", 4n]);
});

test("a constant under two shapes is one external array", async () => {
	const g = new GraphBuilder("g");
	const w = g.constant("w", floats([16, 32], 2));
	const x = g.input("x", "float32", ["n", 16]);
	const turned = g.reshapedConstant(w, [32, 16]) ?? w;
	expect(g.reshapedConstant(w, [32, 16])?.name).toBe(turned.name);
	expect(g.reshapedConstant(x, [32, 16])).toBeUndefined();
	expect(() => g.reshapedConstant(w, [32, 17])).toThrow("expected 544 elements for [32, 17], got 512");
	g.output(matMul(matMul(x, w), turned), "y");
	const { y } = await runGraph(g, { x: floats([1, 16]) });
	expect(y?.data[0]).toBe(16 * 2 * 32 * 2);
	expect(g.build().weights.map(({ path }) => path)).toEqual(["weights/w"]);
});

test("a constant that is read under another shape alone is read", () => {
	const g = new GraphBuilder("g");
	const w = g.constant("w", floats([16, 32]));
	g.output(matMul(g.input("x", "float32", ["n", 32]), g.reshapedConstant(w, [32, 16]) ?? w), "y");
	const { model, weights } = g.build();
	expect(readGraph(model).initialisers.map(({ dims }) => dims)).toEqual([[32, 16]]);
	expect(weights).toHaveLength(1);
});

test("constants of 1024 bytes and more are external views of the caller's array, smaller ones are in the file", async () => {
	const g = new GraphBuilder("g");
	const whole = new Float32Array(600).fill(9);
	const data = whole.subarray(10, 266).fill(2); // 1024 bytes, 40 bytes into its buffer
	const x = g.input("x", "float32", [256]);
	const large = g.scope("layers.0", () => g.constant("large", { dtype: "float32", dims: [256], data }));
	const small = g.constant("small", floats([255], 1));
	g.output(mul(x, large), "a");
	g.output(mul(slice(x, { axis: 0, end: 255 }), small), "b");
	const { model, weights } = g.build();
	expect(weights.map(({ path }) => path)).toEqual(["weights/layers.0/large"]);
	expect(weights[0]?.data).toMatchObject({ buffer: whole.buffer, byteOffset: 40, byteLength: 1024 });
	const contents = Object.fromEntries(
		readGraph(model).initialisers.map(({ name, contents }) => [name, contents]),
	);
	expect(contents["layers.0/large"]).toEqual({
		kind: "external",
		path: "weights/layers.0/large",
		offset: 0,
		length: 1024,
	});
	expect(contents.small).toMatchObject({ kind: "inline", bytes: { byteLength: 1020 } });
	const { a, b } = await runGraph(g, { x: floats([256], 3) });
	expect([a?.data[255], b?.data[254]]).toEqual([6, 3]);
});

test("constants of every dtype arrive as they were given", async () => {
	const tensors: TensorData[] = [
		{ dtype: "float32", dims: [2], data: Float32Array.of(1.5, -2) },
		{ dtype: "float16", dims: [2], data: Uint16Array.of(0x3e00, 0xc000) },
		{ dtype: "int64", dims: [2], data: BigInt64Array.of(3n, -(2n ** 40n)) },
		{ dtype: "int32", dims: [2], data: Int32Array.of(3, -4) },
		{ dtype: "uint8", dims: [2], data: Uint8Array.of(3, 255) },
		{ dtype: "int8", dims: [2], data: Int8Array.of(3, -128) },
		{ dtype: "bool", dims: [2], data: Uint8Array.of(1, 0) },
	];
	const g = new GraphBuilder("g");
	for (const tensor of tensors) g.output(g.constant(`constant ${tensor.dtype}`, tensor), tensor.dtype);
	const outputs = await runGraph(g, {});
	for (const { dtype, data } of tensors)
		expect({ dtype, data: [...(outputs[dtype]?.data ?? [])] }).toEqual({ dtype, data: [...data] });
});

test("small constants are shared, and −0 is not 0", async () => {
	const g = new GraphBuilder("g");
	expect(g.float(1.5)).toBe(g.float(1.5));
	expect(g.ints([0, -1])).toBe(g.scope("elsewhere", () => g.ints([0, -1])));
	expect(g.scalar("float16", 1.5)).not.toBe(g.float(1.5));
	expect(g.float(-0)).not.toBe(g.float(0));
	const x = g.input("x", "float32", []);
	g.output(mul(mul(x, -0), 1), "y");
	g.output(mul(x, Number.NEGATIVE_INFINITY), "z");
	g.output(cast(g.scalar("float16", 1 / 3), "float32"), "h");
	const { y, z, h } = await runGraph(g, { x: floats([]) });
	expect(y?.data[0]).toBe(-0);
	expect(z?.data[0]).toBe(Number.NEGATIVE_INFINITY);
	expect(h?.data[0]).toBe(0.333251953125);
});

test("every float16 survives the way through numbers, and rounding is to nearest, ties to even", () => {
	for (let bits = 0; bits < 0x10000; bits++) {
		const value = float16Value(bits);
		if (Number.isNaN(value)) expect(float16Bits(value)).toBe(0x7e00);
		else if (float16Bits(value) !== bits)
			throw new Error(`${value} became ${float16Bits(value)}, not ${bits}`);
	}
	for (let bits = 0; bits < 0x7bff; bits++) {
		const middle = (float16Value(bits) + float16Value(bits + 1)) / 2;
		if (float16Bits(middle) !== bits + (bits % 2)) throw new Error(`${middle} became ${float16Bits(middle)}`);
	}
	expect([65519, 65520, -65520].map(float16Bits)).toEqual([0x7bff, 0x7c00, 0xfc00]);
});

test("outputs keep their order; a second name for a value, and an input passed through, are copies", async () => {
	const g = new GraphBuilder("g");
	const x = g.input("x", "float32", [2]);
	const y = add(x, 1);
	g.output(y, "first");
	g.output(y, "second");
	g.output(x, "same");
	g.output(mul(y, 2)); // under its own name
	expect(readGraph(g.build().model).outputs.map(({ name }) => name)).toEqual([
		"first",
		"second",
		"same",
		"Mul",
	]);
	const outputs = await runGraph(g, { x: floats([2], 5) });
	expect(Object.values(outputs).map(({ data }) => data[1])).toEqual([6, 6, 5, 12]);
});

test("what no output needs is left out", () => {
	const g = new GraphBuilder("g");
	const x = g.input("x", "float32", ["tokens", 2]);
	matMul(x, g.constant("head", floats([2, 400])));
	shapeOf(x);
	g.output(add(x, 1), "y");
	const { model, weights } = g.build();
	expect(weights).toEqual([]);
	const { nodes, initialisers } = readGraph(model);
	expect(nodes.map(({ op }) => op)).toEqual(["Add"]);
	expect(initialisers.map(({ name }) => name)).toEqual(["constants/float32/1"]);
});

test("dimensions that only the inputs know are computed once, outside every scope", async () => {
	const g = new GraphBuilder("g");
	const a = g.input("a", "float32", ["slots"]);
	const b = g.input("b", "float32", ["tokens"]);
	const [head, tail] = g.scope("layer", () => split(concat([a, b], 0), ["slots", "tokens"], 0));
	if (head === undefined || tail === undefined) throw new Error("two parts");
	g.output(head, "head");
	g.output(slice(concat([tail, b], 0), { axis: 0, start: "tokens" }), "tail");
	const shapes = readGraph(g.build().model).nodes.filter(({ op }) => op === "Shape");
	expect(shapes.map(({ name }) => name)).toEqual(["dimensions/Shape", "dimensions/Shape_1"]);
	const outputs = await runGraph(g, { a: floats([3], 1), b: floats([2], 2) });
	expect([...(outputs.head?.data ?? [])]).toEqual([1, 1, 1]);
	expect([...(outputs.tail?.data ?? [])]).toEqual([2, 2]);
});

test("node() takes operators that have no function, with optional inputs and outputs left out", async () => {
	const g = new GraphBuilder("g");
	const x = g.input("x", "float32", ["tokens"]);
	const [clipped] = g.node({ op: "Clip", name: "bound", inputs: [x, undefined, g.float(2)], outputs: [x] });
	if (clipped === undefined) throw new Error("one output");
	g.output(clipped, "y");
	expect(readGraph(g.build().model).nodes[0]).toMatchObject({
		name: "bound",
		inputs: ["x", "", "constants/float32/2"],
	});
	const { y } = await runGraph(g, { x: floats([3], 7) });
	expect([...(y?.data ?? [])]).toEqual([2, 2, 2]);
});

const x34 = (g: GraphBuilder) => g.input("x", "float32", ["tokens", 3, 4]);

test.each<[string, (g: GraphBuilder) => unknown, string]>([
	[
		"matMul",
		(g) =>
			g.scope("layers.3", () =>
				g.scope("attention", () =>
					matMul(g.input("a", "float32", ["batch", "tokens", 576]), g.input("b", "float32", [512, 64])),
				),
			),
		"[tok/graph] layers.3/attention/MatMul: expected the last dimension of a [batch, tokens, 576] and the second to last of b [512, 64] to be equal, got 576 and 512. Transpose or reshape one of them",
	],
	[
		"add",
		(g) => add(x34(g), g.input("b", "float32", ["slots"])),
		"[tok/graph] Add: expected shapes that broadcast (equal or 1 from the last axis on), got a [tokens, 3, 4] and b [slots]. Reshape or unsqueeze one of them",
	],
	[
		"a dtype",
		(g) => add(x34(g), g.input("b", "int64", [4]) as never),
		"[tok/graph] Add: expected one dtype, got x float32 [tokens, 3, 4] and b int64 [4]. Cast one of them",
	],
	[
		"an axis",
		(g) => softmax(x34(g), 3),
		"[tok/graph] Softmax: expected an axis from -3 to 2 for x float32 [tokens, 3, 4], got 3",
	],
	[
		"reshape",
		(g) => reshape(x34(g), [-1, 5]),
		"[tok/graph] Reshape: expected x float32 [tokens, 3, 4] and [-1, 5] to hold equally many elements, got 12*tokens, which 5 does not divide",
	],
	[
		"transpose",
		(g) => transpose(x34(g), [0, 2]),
		"[tok/graph] Transpose: expected every axis 0..2 once for x float32 [tokens, 3, 4], got [0, 2]",
	],
	[
		"split",
		(g) => split(x34(g), 3, 2),
		"[tok/graph] Split: expected parts that add up to 4, axis 2 of x float32 [tokens, 3, 4], got 3 equal ones",
	],
	[
		"concat",
		(g) => concat([x34(g), g.input("b", "float32", ["tokens", 2, 4])], 2),
		"[tok/graph] Concat: expected shapes that are equal but for axis 2, got [tokens, 3, 4], [tokens, 2, 4]",
	],
	[
		"an unknown length",
		(g) => g.scope("a", () => g.dimension("slots")),
		"[tok/graph] a/dimension slots: expected an input of the graph to have it, got no inputs. Add one, or use a symbol of theirs",
	],
	[
		"another graph",
		(g) => add(x34(g), new GraphBuilder("other").input("y", "float32", [4])),
		'[tok/graph] Add: expected a value of the graph "g", got y [4] of "other"',
	],
	[
		"an input twice",
		(g) => [x34(g), x34(g)],
		"[tok/graph] input x: expected a name of its own, got one that is already in use. Rename it or open a scope",
	],
	[
		"a constant twice",
		(g) => [g.constant("w", floats([1])), g.constant("w", floats([1]))],
		"[tok/graph] constant w: expected a name of its own, got one that is already in use. Rename it or open a scope",
	],
	[
		"an output twice",
		(g) => {
			const y = add(x34(g), 1);
			g.output(y, "y");
			g.output(mul(y, 2), "y");
		},
		"[tok/graph] output y: expected a name of its own, got one that is already an output",
	],
	[
		"a constant's length",
		(g) => g.constant("w", { ...floats([4]), dims: [2, 3] }),
		"[tok/graph] constant w: expected 6 elements for [2, 3], got 4",
	],
	[
		"a constant's array",
		(g) => g.constant("w", { dtype: "float16", dims: [1], data: new Float32Array(1) as never }),
		"[tok/graph] constant w: expected float16 data in a Uint16Array, got [object Float32Array]",
	],
	[
		"no output",
		(g) => g.build(),
		"[tok/graph] g: expected at least one output, got none. Call output(value)",
	],
	[
		"an unread input",
		(g) => {
			x34(g);
			g.output(add(g.input("a", "float32", []), 1), "y");
			g.build();
		},
		"[tok/graph] g: expected every input and constant to be read by a node, but none reads x. Use them or leave them out",
	],
	[
		"an opset",
		() => new GraphBuilder("g", { opset: 17 }),
		"[tok/graph] g: expected an opset from 18 to 26, got 17",
	],
	[
		"a float attribute",
		(g) => {
			const [y] = g.node({
				op: "Elu",
				inputs: [x34(g)],
				attributes: { alpha: 0.5 },
				outputs: [{ dtype: "float32", shape: [1] }],
			});
			if (y) g.output(y, "y");
			g.build();
		},
		"[tok/graph] Elu: expected an integer in the attribute alpha, got 0.5. Write floats as { float: x }",
	],
])("a mistake with %s says where, what and what to do", (_, mistake, message) => {
	let caught: unknown;
	try {
		mistake(new GraphBuilder("g"));
	} catch (error) {
		caught = error;
	}
	expect(caught).toMatchObject({ name: "GraphError", message });
});
