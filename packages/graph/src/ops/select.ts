/**
 * The largest elements along an axis. https://onnx.ai/onnx/operators – TopK, ArgMax.
 */
import type { Numeric, Value } from "../types.ts";
import { axisOf, describe, emit } from "./emit.ts";

export interface TopKOptions {
	/** Defaults to −1. */
	readonly axis?: number;
	/** Defaults to true; false takes the smallest. */
	readonly largest?: boolean;
	/** Whether they come in order. Defaults to true. */
	readonly sorted?: boolean;
}

/** The k largest elements along an axis and their indices, both [..., k, ...]. Of equal ones, the lower index first. */
export function topK<D extends Numeric>(
	x: Value<D>,
	k: number,
	{ axis = -1, largest = true, sorted = true }: TopKOptions = {},
): { readonly values: Value<D>; readonly indices: Value<"int64"> } {
	const along = axisOf(x, axis, "TopK");
	const length = x.shape[along] ?? 0;
	if (!Number.isInteger(k) || k < 0 || (typeof length === "number" && k > length)) {
		throw x.graph.error("TopK", `expected k from 0 to ${length}, axis ${along} of ${describe(x)}, got ${k}`);
	}
	const shape = x.shape.with(along, k);
	const [values, indices] = x.graph.node({
		op: "TopK",
		inputs: [x, x.graph.ints([k])],
		attributes: { axis: along, largest: Number(largest), sorted: Number(sorted) },
		outputs: [
			{ dtype: x.dtype, shape },
			{ dtype: "int64", shape },
		],
	});
	return { values: values as Value<D>, indices: indices as Value<"int64"> };
}

export interface ArgMaxOptions {
	/** Whether the axis stays, with length 1. Defaults to false. */
	readonly keepDims?: boolean;
}

/** Index of the largest element along an axis; the first of equal ones. */
export function argMax(
	x: Value<Numeric>,
	axis: number,
	{ keepDims = false }: ArgMaxOptions = {},
): Value<"int64"> {
	const along = axisOf(x, axis, "ArgMax");
	const shape = keepDims ? x.shape.with(along, 1) : x.shape.toSpliced(along, 1);
	return emit(
		x.graph,
		"ArgMax",
		[x],
		{ dtype: "int64", shape },
		{ attributes: { axis: along, keepdims: Number(keepDims) } },
	);
}
