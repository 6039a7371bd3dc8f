/**
 * Shapes as values: where a length is known only when the graph runs, and operators that take a shape as a tensor.
 * https://onnx.ai/onnx/operators – Shape, Range, ConstantOfShape.
 */
import type { GraphBuilder } from "../builder.ts";
import { formatShape, sameShape, subtractDims } from "../dimension.ts";
import { toTypedArray } from "../dtypes.ts";
import type { Dim, DType, Shape, Value } from "../types.ts";
import { emit } from "./emit.ts";

/** A shape as int64 [rank]: a constant when every dimension is a number, computed from the inputs' shapes otherwise. */
export function shapeTensor(graph: GraphBuilder, shape: Shape): Value<"int64"> {
	if (shape.every((dim) => typeof dim === "number")) return graph.ints(shape);
	const parts: Value<"int64">[] = [];
	let numbers: number[] = [];
	const flush = (): void => {
		if (numbers.length > 0) parts.push(graph.ints(numbers));
		numbers = [];
	};
	for (const dim of shape) {
		if (typeof dim === "number") numbers.push(dim);
		else {
			flush();
			parts.push(graph.dimension(dim));
		}
	}
	flush();
	const [only] = parts;
	if (only !== undefined && parts.length === 1) return only;
	return emit(graph, "Concat", parts, { dtype: "int64", shape: [shape.length] }, { attributes: { axis: 0 } });
}

export interface ShapeOfOptions {
	/** First axis. Defaults to 0. */
	readonly start?: number;
	/** Axis after the last. Defaults to the rank. */
	readonly end?: number;
}

/** The dimensions of axes start..end−1 as int64 [end − start]. */
export function shapeOf(x: Value, { start = 0, end = x.shape.length }: ShapeOfOptions = {}): Value<"int64"> {
	const rank = x.shape.length;
	if (!Number.isInteger(start) || !Number.isInteger(end) || start < 0 || end > rank || start > end) {
		throw x.graph.error(
			"Shape",
			`expected 0 ≤ start ≤ end ≤ ${rank} for ${formatShape(x.shape)}, got ${start} and ${end}`,
		);
	}
	return emit(
		x.graph,
		"Shape",
		[x],
		{ dtype: "int64", shape: [end - start] },
		{ attributes: { start, end } },
	);
}

export interface RangeOptions {
	/** First element. Defaults to 0. */
	readonly start?: Dim;
	/** The element after the last. */
	readonly limit: Dim;
	/** Difference between neighbours; 1 when start or limit is a symbol. Defaults to 1. */
	readonly step?: number;
}

/** start, start + step, … below (above, for a negative step) limit, as int64 [⌈(limit − start) / step⌉]. */
export function range(graph: GraphBuilder, { start = 0, limit, step = 1 }: RangeOptions): Value<"int64"> {
	const numeric = typeof start === "number" && typeof limit === "number";
	if (!Number.isInteger(step) || step === 0 || (step !== 1 && !numeric)) {
		throw graph.error(
			"Range",
			`expected a step ≠ 0, and 1 from ${start} to ${limit} where one is a symbol, got ${step}`,
		);
	}
	const length = numeric ? Math.max(0, Math.ceil((limit - start) / step)) : subtractDims(limit, start);
	const scalar = (dim: Dim): Value<"int64"> =>
		typeof dim === "number"
			? graph.scalar("int64", dim)
			: emit(graph, "Squeeze", [graph.dimension(dim), graph.ints([0])], { dtype: "int64", shape: [] });
	return emit(graph, "Range", [scalar(start), scalar(limit), graph.scalar("int64", step)], {
		dtype: "int64",
		shape: [length],
	});
}

export interface ConstantOfShapeOptions<D extends DType> {
	readonly dtype: D;
	readonly shape: Shape;
	/** Defaults to 0. */
	readonly value?: number;
}

/** A tensor filled with one value; nothing of its size is stored in the graph. */
export function constantOfShape<D extends DType>(
	graph: GraphBuilder,
	{ dtype, shape, value = 0 }: ConstantOfShapeOptions<D>,
): Value<D> {
	const tensor = { dtype, dims: [1], data: toTypedArray(dtype, [value]) };
	return emit(
		graph,
		"ConstantOfShape",
		[shapeTensor(graph, shape)],
		{ dtype, shape },
		{ attributes: { value: { tensor } } },
	);
}

/**
 * The same value with another shape of the same rank, for facts that inference cannot see: two symbols that are always
 * equal, a slice whose length has a name. Adds no node; the caller answers for it.
 */
export function assumeShape<D extends DType>(x: Value<D>, shape: Shape): Value<D> {
	const contradiction = shape.some(
		(dim, axis) => typeof dim === "number" && typeof x.shape[axis] === "number" && dim !== x.shape[axis],
	);
	if (shape.length !== x.shape.length || contradiction) {
		throw x.graph.error(
			"assumeShape",
			`expected a shape that ${formatShape(x.shape)} can have, got ${formatShape(shape)}`,
		);
	}
	return sameShape(shape, x.shape) ? x : { ...x, shape };
}
