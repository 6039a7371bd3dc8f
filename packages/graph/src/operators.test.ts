/** Every operator against onnxruntime: inferred dtypes and shapes are the real ones, values are the formula's. */
import { describe, expect, test } from "vitest";
import { GraphBuilder } from "./builder.ts";
import { termsOf } from "./dimension.ts";
import { matMulIntegerToFloat } from "./ops/quantised.ts";
import { elementwiseCases } from "./testing/elementwise-cases.ts";
import { coordinates, ndArray } from "./testing/nd-array.ts";
import type { OperatorCase } from "./testing/operator-case.ts";
import { productCases } from "./testing/product-cases.ts";
import { randomTensor, seeded } from "./testing/random.ts";
import { runGraph } from "./testing/run-graph.ts";
import { shapeCases } from "./testing/shape-cases.ts";
import type { Dim, TensorData, Value } from "./types.ts";

type Lengths = Readonly<Record<string, number>>;

function lengthOf(dim: Dim, lengths: Lengths): number {
	return termsOf(dim).reduce(
		(total, { coefficient, symbols }) =>
			total + symbols.reduce((product, name) => product * (lengths[name] ?? Number.NaN), coefficient),
		0,
	);
}

async function check(operator: OperatorCase, lengths: Lengths, symbolic: boolean): Promise<void> {
	const random = seeded(Object.values(lengths).reduce((seed, n) => seed * 31 + n, 7));
	const graph = new GraphBuilder("case");
	const feeds: Record<string, TensorData> = {};
	const values: Record<string, Value> = {};
	for (const [name, [dtype, shape, range]] of Object.entries(operator.inputs)) {
		const dims = shape.map((dim) => lengthOf(dim, lengths));
		feeds[name] = randomTensor(random, dtype, dims, range);
		values[name] = graph.input(name, dtype, symbolic ? shape : dims);
	}
	// Cases speak of all three symbols; one input carries those that theirs do not.
	const lengthsOnly = graph.input(
		"lengths",
		"bool",
		symbolic ? Object.keys(lengths) : Object.values(lengths),
	);
	feeds.lengths = randomTensor(random, "bool", Object.values(lengths));
	graph.output(lengthsOnly, "unused");
	for (const value of Object.values(values))
		graph.node({ op: "Identity", inputs: [value], outputs: [value] });
	const outputs = operator.build(values, graph);
	for (const [index, value] of outputs.entries()) graph.output(value, `output${index}`);
	const results = await runGraph(graph, feeds);
	const arrays = Object.fromEntries(Object.entries(feeds).map(([name, tensor]) => [name, ndArray(tensor)]));
	const formulas = operator.expected?.(arrays);
	if (formulas !== undefined) expect(formulas, "a formula per output").toHaveLength(outputs.length);
	for (const [index, value] of outputs.entries()) {
		const result = results[`output${index}`];
		if (result === undefined) throw new Error(`no output${index}`);
		expect(
			{ dtype: value.dtype, dims: value.shape.map((dim) => lengthOf(dim, lengths)) },
			value.name,
		).toEqual({ dtype: result.dtype, dims: [...result.dims] });
		const formula = formulas?.[index];
		if (formula === undefined) continue;
		const real = ndArray(result);
		for (const at of coordinates(result.dims)) {
			const [wanted, got] = [formula(...at), real.at(...at)];
			if (!(Math.abs(got - wanted) <= operator.tolerance * (1 + Math.abs(wanted))))
				throw new Error(`output${index} at [${at}]: expected ${wanted}, got ${got}`);
		}
	}
}

const operatorCases = [...elementwiseCases, ...shapeCases, ...productCases];

const lengthSets: readonly Lengths[] = [
	{ batch: 1, tokens: 1, slots: 2 },
	{ batch: 2, tokens: 3, slots: 5 },
	{ batch: 3, tokens: 4, slots: 1 },
];

describe("with symbols", () => {
	test.each(operatorCases.map((operator) => [operator.name, operator] as const))(
		"%s",
		async (_, operator) => {
			for (const lengths of lengthSets) await check(operator, lengths, true);
		},
	);
});

test("a scale for each column of each matrix is one of matrices", () => {
	const graph = new GraphBuilder("refused");
	const [a, b] = [graph.input("a", "uint8", ["tokens", 6]), graph.input("b", "int8", [6])];
	const product = () => matMulIntegerToFloat(a, b, graph.float(1), graph.input("scale", "float32", [1, 6]));
	expect(product).toThrow(/MatMulIntegerToFloat.*a scale of b/s);
});

describe("with numbers", () => {
	const numeric = operatorCases.filter((operator) => operator.numeric);
	test.each(numeric.map((operator) => [operator.name, operator] as const))("%s", async (_, operator) => {
		for (const lengths of lengthSets) await check(operator, lengths, false);
	});
});
