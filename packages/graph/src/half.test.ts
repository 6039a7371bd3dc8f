/** Half precision: the same graph within float16's rounding, and between inputs and outputs of the dtypes it had. */
import { expect, test } from "vitest";
import { linear, rmsNorm } from "./blocks/index.ts";
import { type BuildOptions, GraphBuilder } from "./builder.ts";
import { add, div, mul } from "./ops/arithmetic.ts";
import { cast } from "./ops/comparison.ts";
import { softmax } from "./ops/reduction.ts";
import { readGraph } from "./read-graph.ts";
import { runGraph } from "./testing/run-graph.ts";
import type { TensorData, Value } from "./types.ts";

const floats = (dims: readonly number[], of: (i: number) => number): TensorData<"float32"> => ({
	dtype: "float32",
	dims,
	data: Float32Array.from({ length: dims.reduce((a, b) => a * b, 1) }, (_, i) => of(i)),
});

/** A norm, a product in blocks, a dense one, a softmax under a mask. */
function network(): GraphBuilder {
	const graph = new GraphBuilder("network");
	const x = graph.input("x", "float32", ["rows", 64]);
	const mask = graph.input("mask", "float32", ["rows", 32]);
	const normed = rmsNorm(
		x,
		graph.constant(
			"norm",
			floats([64], (i) => 1 + i / 64),
		),
		1e-6,
	);
	const wide = linear(normed, {
		kind: "blocks",
		bits: 8,
		blockSize: 32,
		codes: graph.constant("codes", {
			dtype: "uint8",
			dims: [64, 2, 32],
			data: Uint8Array.from({ length: 64 * 64 }, (_, i) => (i * 37) % 256),
		}),
		scales: graph.constant(
			"scales",
			floats([64, 2], (i) => 1e-4 * (1 + (i % 7))),
		),
		terms: 0,
	});
	const weight = graph.constant(
		"weight",
		floats([32, 64], (i) => Math.sin(i) / 8),
	);
	graph.output(
		softmax(
			add(
				graph.scope("head", () => linear(wide, { kind: "dense", weight })),
				mask,
			),
			-1,
		),
		"y",
	);
	return graph;
}

const x = floats([3, 64], (i) => 20 * Math.sin(i * 1.7));
const mask = floats([3, 32], (i) => (i % 5 === 0 ? Number.NEGATIVE_INFINITY : 0));

const dtypesOf = (graph: GraphBuilder, half: BuildOptions["half"]): Map<string, string> => {
	const { inputs, outputs } = readGraph(graph.build({ half }).model);
	return new Map([...inputs, ...outputs].map(({ name, dtype }) => [name, dtype]));
};

test("a network in half precision gives what it gave, to three digits", async () => {
	const { y: exact } = await runGraph(network(), { x, mask });
	const { y: half } = await runGraph(network(), { x, mask }, { half: {} });
	expect(half?.dtype).toBe("float32");
	const numbers = (tensor: TensorData | undefined): number[] => [...(tensor?.data ?? [])].map(Number);
	const expected = numbers(exact);
	const errors = numbers(half).map((p, i) => Math.abs(p - (expected[i] as number)));
	expect(errors).toHaveLength(3 * 32);
	expect(Math.max(...errors)).toBeLessThan(1e-3);
	// Not the same graph after all.
	expect(Math.max(...errors)).toBeGreaterThan(0);
});

test("inputs and outputs keep their dtypes; every node and constant between them is float16", () => {
	expect(dtypesOf(network(), {})).toEqual(dtypesOf(network(), undefined));
	const { nodes, initialisers } = readGraph(network().build({ half: {} }).model);
	expect(
		nodes.filter(({ op }) => op === "Cast").map(({ inputs, outputs }) => [inputs[0], outputs[0]]),
	).toEqual([
		["x", "x:float16"],
		["mask", "mask:float16"],
		["Softmax", "y"],
	]);
	expect(initialisers.map(({ dtype }) => dtype).filter((dtype) => dtype === "float32")).toEqual([]);
});

test("nodes that are excepted stay float32, and are cast to and from once", async () => {
	const half = { except: (node: string) => node.startsWith("head/") };
	const { nodes, initialisers } = readGraph(network().build({ half }).model);
	expect(initialisers.find(({ name }) => name === "weight")?.dtype).toBe("float32");
	const head = nodes.find(({ name }) => name.startsWith("head/"));
	expect(head?.inputs[0]).toMatch(/:float32$/);
	expect(nodes.filter(({ op }) => op === "Cast")).toHaveLength(5);
	const { y } = await runGraph(network(), { x, mask }, { half });
	expect(y?.dims).toEqual([3, 32]);
});

test("what float16 cannot hold is the nearest that it can", async () => {
	const ratio = (graph: GraphBuilder): Value<"float32"> => {
		const a = graph.input("a", "float32", ["n"]);
		// 0 / 0 without the tiny constant; an infinity less an infinity with a mask beyond the range.
		return add(div(a, add(mul(a, 0), 1e-30)), -1e30);
	};
	const graph = new GraphBuilder("constants");
	graph.output(ratio(graph), "y");
	const { y } = await runGraph(graph, { a: floats([2], (i) => i) }, { half: {} });
	expect(y?.data[0]).toBe(-65504);
});

test("a cast from float16 is no node any more, and equal weights stay one", () => {
	const graph = new GraphBuilder("stored");
	const stored = cast(graph.input("stored", "float16", ["n", 32]), "float32");
	const numbers = floats([32, 32], (i) => i);
	const first = graph.constant("first", numbers);
	const again = graph.reshapedConstant(first, [1024]) as Value<"float32">;
	graph.output(mul(linear(stored, { kind: "dense", weight: first }), 2), "y");
	graph.output(add(again, 1), "z");
	const { model, weights } = graph.build({ half: {} });
	expect(
		readGraph(model)
			.nodes.filter(({ op }) => op === "Cast")
			.map(({ outputs }) => outputs[0]),
	).toEqual(["y", "z"]);
	expect(weights.map(({ data }) => data.byteLength)).toEqual([2 * 1024]);
});
