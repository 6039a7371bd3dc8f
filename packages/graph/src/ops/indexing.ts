/**
 * Operators that read or write by index. Negative indices count from the end.
 * https://onnx.ai/onnx/operators – Gather, GatherElements, GatherND, ScatterElements, ScatterND, TopK, ArgMax.
 */
import { formatShape, sameShape } from "../dimension.ts";
import type { DType, Index, Numeric, Shape, Value } from "../types.ts";
import { axisOf, describe, emit, requireDType, sameDType } from "./emit.ts";

/** data [...a, n, ...b], indices [...i] → [...a, ...i, ...b]: the rows of an axis that the indices name. */
export function gather<D extends DType>(data: Value<D>, indices: Value<Index>, axis: number = 0): Value<D> {
	requireDType("Gather", "the indices", indices, "int64", "int32");
	const along = axisOf(data, axis, "Gather");
	const shape = data.shape.toSpliced(along, 1, ...indices.shape);
	return emit(
		data.graph,
		"Gather",
		[data, indices],
		{ dtype: data.dtype, shape },
		{ attributes: { axis: along } },
	);
}

/** result[i, j] = data[indices[i, j], j] for axis 0, and so on: one index per element of the result. */
export function gatherElements<D extends DType>(
	data: Value<D>,
	indices: Value<Index>,
	axis: number,
): Value<D> {
	requireDType("GatherElements", "the indices", indices, "int64", "int32");
	const along = axisOf(data, axis, "GatherElements");
	sameRank("GatherElements", data, indices);
	return emit(
		data.graph,
		"GatherElements",
		[data, indices],
		{ dtype: data.dtype, shape: indices.shape },
		{ attributes: { axis: along } },
	);
}

export interface GatherNDOptions {
	/** Leading axes that data and indices share. Defaults to 0. */
	readonly batchDims?: number;
}

/** data [...batch, n₁…n_k, ...rest], indices [...batch, ...i, k] → [...batch, ...i, ...rest]. */
export function gatherND<D extends DType>(
	data: Value<D>,
	indices: Value<"int64">,
	{ batchDims = 0 }: GatherNDOptions = {},
): Value<D> {
	requireDType("GatherND", "the indices", indices, "int64");
	const depth = indices.shape.at(-1);
	const shared = sameShape(data.shape.slice(0, batchDims), indices.shape.slice(0, batchDims));
	if (
		typeof depth !== "number" ||
		depth < 1 ||
		batchDims + depth > data.shape.length ||
		batchDims >= indices.shape.length ||
		!shared
	) {
		throw data.graph.error(
			"GatherND",
			`expected indices [...batch, ..., k] with ${batchDims} leading axes as in data ${formatShape(data.shape)} and k from 1 to ${data.shape.length - batchDims}, got ${describe(indices)}`,
		);
	}
	const shape = [...indices.shape.slice(0, -1), ...data.shape.slice(batchDims + depth)];
	return emit(
		data.graph,
		"GatherND",
		[data, indices],
		{ dtype: data.dtype, shape },
		{ attributes: { batch_dims: batchDims } },
	);
}

/** What happens to the element that is already there. */
export type ScatterReduction = "none" | "add" | "mul" | "max" | "min";

export interface ScatterElementsOptions {
	readonly axis: number;
	/** Defaults to "none": the update replaces it. */
	readonly reduction?: ScatterReduction;
}

/** A copy of data with result[indices[i, j], j] = updates[i, j] for axis 0, and so on. Order of equal indices is open. */
export function scatterElements<D extends DType>(
	data: Value<D>,
	indices: Value<Index>,
	updates: Value<NoInfer<D>>,
	{ axis, reduction = "none" }: ScatterElementsOptions,
): Value<D> {
	requireDType("ScatterElements", "the indices", indices, "int64", "int32");
	sameDType("ScatterElements", [data, updates]);
	const along = axisOf(data, axis, "ScatterElements");
	sameRank("ScatterElements", data, indices);
	if (!sameShape(indices.shape, updates.shape)) {
		throw data.graph.error(
			"ScatterElements",
			`expected one update per index, got indices ${formatShape(indices.shape)} and updates ${formatShape(updates.shape)}`,
		);
	}
	return emit(data.graph, "ScatterElements", [data, indices, updates], data, {
		attributes: { axis: along, reduction },
	});
}

export interface ScatterNDOptions {
	/** Defaults to "none": the update replaces it. */
	readonly reduction?: ScatterReduction;
}

/** A copy of data [n₁…n_k, ...rest] with the slices at indices [...i, k] replaced by updates [...i, ...rest]. */
export function scatterND<D extends DType>(
	data: Value<D>,
	indices: Value<"int64">,
	updates: Value<NoInfer<D>>,
	{ reduction = "none" }: ScatterNDOptions = {},
): Value<D> {
	requireDType("ScatterND", "the indices", indices, "int64");
	sameDType("ScatterND", [data, updates]);
	const depth = indices.shape.at(-1);
	const expected: Shape | undefined =
		typeof depth === "number" && depth >= 1 && depth <= data.shape.length
			? [...indices.shape.slice(0, -1), ...data.shape.slice(depth)]
			: undefined;
	if (expected === undefined || !sameShape(expected, updates.shape)) {
		throw data.graph.error(
			"ScatterND",
			`expected indices [...i, k] and updates [...i, ...rest] for data ${formatShape(data.shape)}, got ${formatShape(indices.shape)} and ${formatShape(updates.shape)}`,
		);
	}
	return emit(data.graph, "ScatterND", [data, indices, updates], data, { attributes: { reduction } });
}

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

function sameRank(op: string, data: Value, indices: Value): void {
	if (data.shape.length === indices.shape.length) return;
	throw data.graph.error(
		op,
		`expected as many axes in the indices as in data, got ${describe(data)} and ${describe(indices)}`,
	);
}
