/** The graphs that conformance cases run. */
import { add, type Dim, GraphBuilder, matMul, reduceSum, type Shape, type Value } from "@tok/graph";
import { kvParts } from "../kv-shape.ts";
import { type DType, type GraphFile, type KvShape, kvNames, type Tensor } from "../runtime.ts";
import { floats } from "./tensors.ts";

/** y = x. */
export function echo(dtype: DType, shape: Shape = ["n"]): GraphFile {
	const graph = new GraphBuilder("echo");
	graph.output(graph.input("x", dtype, shape), "y");
	return graph.build();
}

/** sum = left + right over [n, 2], twice = left + left. */
export function sums(): GraphFile {
	const graph = new GraphBuilder("sums");
	const left = graph.input("left", "float32", ["n", 2]);
	const right = graph.input("right", "float32", ["n", 2]);
	graph.output(add(left, right), "sum");
	graph.output(add(left, left), "twice");
	return graph.build();
}

/** total = the sum of a store's values and of `rows`, which are left as its fresh ones twice as large; one layer, one head. */
export function totals({ headDim }: KvShape): GraphFile {
	const graph = new GraphBuilder("totals");
	const value = graph.input(kvNames.value(0, 0), "float32", [1, 1, 1, "slots", headDim]);
	const rows = graph.input("rows", "float32", [1, 2, "tokens", headDim]);
	graph.output(add(reduceSum(value), reduceSum(rows)), "total");
	graph.output(add(rows, rows), kvNames.fresh);
	return graph.build();
}

/** y = x · weight, with a weight [32, 32] that lies outside the model. */
export function product(weight: Tensor<"float32">): GraphFile {
	const graph = new GraphBuilder("product");
	graph.output(matMul(graph.input("x", "float32", ["n", 32]), graph.constant("weight", weight)), "y");
	return graph.build();
}

/** Name of the output that repeats a cache input. */
export function seen(name: string): string {
	return `seen.${name}`;
}

/**
 * A graph that makes a store visible: it returns every buffer as it came in, as `seen.past.…`, and the input `rows`
 * [batch, layers · 2 · kvHeads, tokens, headDim] as `fresh`.
 */
export function mirror(shape: KvShape, batch: Dim = 1): GraphFile {
	const { layers, kvHeads, headDim, slots } = shape;
	const graph = new GraphBuilder("mirror");
	slots.forEach((_, segment) => {
		const { format = "float32" } = shape.kinds?.[segment] ?? {};
		for (const { layer, heads } of kvParts(shape, segment)) {
			const input = (name: string, dtype: DType, ...last: Dim[]): void => {
				const value = graph.input(name, dtype, [batch, heads.length, 1, ...last]);
				graph.output(value, seen(name));
			};
			input(kvNames.key(segment, layer), format, headDim, `slots.${segment}`);
			input(kvNames.value(segment, layer), format, `slots.${segment}`, headDim);
			if (format !== "int8") continue;
			input(kvNames.keyScale(segment, layer), "float32", 1, `slots.${segment}`);
			input(kvNames.valueScale(segment, layer), "float32", `slots.${segment}`, 1);
		}
	});
	const rows = graph.input("rows", "float32", [batch, layers * 2 * kvHeads, "tokens", headDim]);
	graph.output(rows, kvNames.fresh);
	return graph.build();
}

/** One layer's keys [batch, kvHeads, 1, headDim, slots] and values [batch, kvHeads, 1, slots, headDim] of a segment. */
export function cacheInputs(
	graph: GraphBuilder,
	{ kvHeads, headDim }: Pick<KvShape, "kvHeads" | "headDim">,
	segment: number,
	layer: number,
	batch: Dim = 1,
): [key: Value<"float32">, value: Value<"float32">] {
	const slots = `slots.${segment}`;
	return [
		graph.input(kvNames.key(segment, layer), "float32", [batch, kvHeads, 1, headDim, slots]),
		graph.input(kvNames.value(segment, layer), "float32", [batch, kvHeads, 1, slots, headDim]),
	];
}

/** Feeds for `mirror`: element [layer, kind, head, row, d] is a number that tells where it came from. */
export function freshRows(
	{ layers, kvHeads, headDim }: KvShape,
	tokens: number,
	from = 1,
): Tensor<"float32"> {
	const dims = [1, layers * 2 * kvHeads, tokens, headDim];
	const count = layers * 2 * kvHeads * tokens * headDim;
	return floats(
		dims,
		Array.from({ length: count }, (_, i) => from + i),
	);
}
