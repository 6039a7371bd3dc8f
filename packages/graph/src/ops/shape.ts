/**
 * Operators that move elements and compute none. Symbolic dimensions go through: a concatenation of "slots" and
 * "tokens" is "slots+tokens" long, and [batch, tokens, 576] reshapes to [0, 0, 9, 64].
 * https://onnx.ai/onnx/operators – Reshape, Transpose, Squeeze, Unsqueeze, Expand, Concat, Split, Slice, Identity.
 */
import {
	addDims,
	broadcastShapes,
	divideDims,
	divideShapes,
	formatShape,
	normaliseDim,
	productOf,
	subtractDims,
} from "../dimension.ts";
import { GraphError } from "../errors.ts";
import type { Dim, DType, Shape, Value } from "../types.ts";
import { axesOf, axisOf, describe, emit, emitAll, sameDType } from "./emit.ts";
import { shapeTensor } from "./lengths.ts";

/**
 * The same elements in another shape, row-major. 0 keeps the dimension at its place, one −1 is what remains; a symbol
 * may stand anywhere. Throws when the number of elements differs for some value of the symbols.
 */
export function reshape<D extends DType>(x: Value<D>, shape: readonly Dim[]): Value<D> {
	const target = targetOf(x, shape);
	// At most one dimension may be left to the runtime as −1; 0 copies one.
	const rest = target.filter((dim, axis) => typeof dim === "string" && dim !== x.shape[axis]);
	const numbers = target.map((dim, axis) =>
		dim === x.shape[axis] && typeof dim === "string" ? 0 : typeof dim === "string" ? -1 : dim,
	);
	// A length of zero is not a copy: −1 resolves it when nothing else is unknown.
	const unknown = shape.indexOf(-1);
	const several = unknown < 0 ? target : target.map((dim, axis) => (axis === unknown ? -1 : dim));
	// A −1 on a dimension that stays: it may be of length zero, which a 0 would have the runtime divide by.
	const stays = unknown >= 0 && target[unknown] === x.shape[unknown] && rest.length === 1;
	const lengths = rest.length > 1 || stays ? shapeTensor(x.graph, several) : x.graph.ints(numbers);
	return emit(x.graph, "Reshape", [x, lengths], { dtype: x.dtype, shape: target });
}

function targetOf(x: Value, shape: readonly Dim[]): Shape {
	const fail = (reason: string): Error =>
		x.graph.error(
			"Reshape",
			`expected ${describe(x)} and ${formatShape(shape)} to hold equally many elements, ${reason}`,
		);
	const unknown = shape.indexOf(-1);
	if (shape.indexOf(-1, unknown + 1) > 0 && unknown >= 0) throw fail("got more than one −1");
	const known = shape.map((dim, axis) => {
		if (dim === -1) return 1;
		if (dim !== 0) return normaliseDim(dim);
		const kept = x.shape[axis];
		if (kept === undefined) throw fail(`got a 0 at axis ${axis}, where x has no dimension to keep`);
		return kept;
	});
	if (unknown < 0) {
		const [have, want] = [productOf(x.shape), productOf(known)];
		if (have !== want) throw fail(`got ${have} and ${want}`);
		return known;
	}
	const remaining = divideShapes(x.shape, known);
	if (remaining === undefined)
		throw fail(`got ${productOf(x.shape)}, which ${productOf(known)} does not divide`);
	return known.with(unknown, remaining);
}

/** Axis i of the result is axis permutation[i] of x. Throws unless every axis appears once. */
export function transpose<D extends DType>(x: Value<D>, permutation: readonly number[]): Value<D> {
	const rank = x.shape.length;
	if (
		permutation.length !== rank ||
		new Set(permutation).size !== rank ||
		permutation.some((axis) => !(axis >= 0 && axis < rank))
	) {
		throw x.graph.error(
			"Transpose",
			`expected every axis 0..${rank - 1} once for ${describe(x)}, got [${permutation.join(", ")}]`,
		);
	}
	const shape = permutation.map((axis) => x.shape[axis] ?? 1);
	return emit(x.graph, "Transpose", [x], { dtype: x.dtype, shape }, { attributes: { perm: permutation } });
}

/** Removes axes of length 1. Throws when one is longer. */
export function squeeze<D extends DType>(x: Value<D>, axes: readonly number[]): Value<D> {
	const gone = axesOf(x, axes, "Squeeze");
	if (gone.some((axis) => x.shape[axis] !== 1)) {
		throw x.graph.error("Squeeze", `expected axes [${axes.join(", ")}] of ${describe(x)} to have length 1`);
	}
	const shape = x.shape.filter((_, axis) => !gone.includes(axis));
	return emit(x.graph, "Squeeze", [x, x.graph.ints(gone)], { dtype: x.dtype, shape });
}

/** Inserts axes of length 1; `axes` count in the result. */
export function unsqueeze<D extends DType>(x: Value<D>, axes: readonly number[]): Value<D> {
	const rank = x.shape.length + axes.length;
	const fresh = axesOf(x, axes, "Unsqueeze", rank);
	const kept = x.shape.values();
	const shape = Array.from({ length: rank }, (_, axis) =>
		fresh.includes(axis) ? 1 : (kept.next().value ?? 1),
	);
	return emit(x.graph, "Unsqueeze", [x, x.graph.ints(fresh)], { dtype: x.dtype, shape });
}

/** Repeats axes of length 1 until x has the shape that it and `shape` broadcast to. */
export function expand<D extends DType>(x: Value<D>, shape: Shape): Value<D> {
	const target = shape.map(normaliseDim);
	const result = broadcastShapes(x.shape, target);
	if (result === undefined) {
		throw x.graph.error("Expand", `expected ${describe(x)} to broadcast to ${formatShape(shape)}`);
	}
	// 1 leaves a dimension as it is, so only a symbol that is new to x has to be computed.
	const offset = x.shape.length - target.length;
	const lengths = target.map((dim, axis) => (dim === x.shape[axis + offset] ? 1 : dim));
	return emit(x.graph, "Expand", [x, shapeTensor(x.graph, lengths)], { dtype: x.dtype, shape: result });
}

/** Joins values along an axis; every other dimension is equal. */
export function concat<D extends DType>(values: readonly Value<D>[], axis: number): Value<D> {
	const [first, ...rest] = values;
	if (first === undefined) throw new GraphError("Concat: expected at least one value, got none");
	sameDType("Concat", values);
	const along = axisOf(first, axis, "Concat");
	const fits = (value: Value): boolean =>
		value.shape.length === first.shape.length &&
		value.shape.every((dim, index) => index === along || dim === first.shape[index]);
	if (!rest.every(fits)) {
		throw first.graph.error(
			"Concat",
			`expected shapes that are equal but for axis ${along}, got ${values.map((value) => formatShape(value.shape)).join(", ")}`,
		);
	}
	const length = values.map((value) => value.shape[along] ?? 0).reduce(addDims);
	return emit(
		first.graph,
		"Concat",
		values,
		{ dtype: first.dtype, shape: first.shape.with(along, length) },
		{ attributes: { axis: along } },
	);
}

/** Cuts x along an axis into parts of the given lengths, or into as many equal parts as the number says. */
export function split<D extends DType>(
	x: Value<D>,
	parts: number | readonly Dim[],
	axis: number,
): Value<D>[] {
	const along = axisOf(x, axis, "Split");
	const whole = x.shape[along] ?? 0;
	const fail = (): Error =>
		x.graph.error(
			"Split",
			`expected parts that add up to ${whole}, axis ${along} of ${describe(x)}, got ${typeof parts === "number" ? `${parts} equal ones` : formatShape(parts)}`,
		);
	if (typeof parts === "number") {
		const length = Number.isInteger(parts) && parts > 0 ? divideDims(whole, parts) : undefined;
		if (length === undefined) throw fail();
		const output = { dtype: x.dtype, shape: x.shape.with(along, length) };
		return emitAll(x.graph, "Split", [x], new Array(parts).fill(output), {
			attributes: { axis: along, num_outputs: parts },
		});
	}
	const lengths = parts.map(normaliseDim);
	if (lengths.reduce(addDims, 0) !== whole) throw fail();
	const outputs = lengths.map((length) => ({ dtype: x.dtype, shape: x.shape.with(along, length) }));
	return emitAll(x.graph, "Split", [x, shapeTensor(x.graph, lengths)], outputs, {
		attributes: { axis: along },
	});
}

export interface SliceOptions {
	readonly axis: number;
	/** First index; negative counts from the end. Defaults to 0. */
	readonly start?: Dim;
	/** Index after the last; negative counts from the end. Defaults to the end. */
	readonly end?: Dim;
	/** ≥ 1; 1 where a length is a symbol. Defaults to 1. */
	readonly step?: number;
}

/**
 * Elements start, start + step, … before end of one axis. Numbers beyond a numeric dimension are cut to it, as ONNX
 * does; a symbolic dimension is taken to be long enough for the slice.
 */
export function slice<D extends DType>(
	x: Value<D>,
	{ axis, start = 0, end, step = 1 }: SliceOptions,
): Value<D> {
	const along = axisOf(x, axis, "Slice");
	const whole = x.shape[along] ?? 0;
	const from = (bound: Dim): Dim =>
		typeof bound === "number" && bound < 0 ? addDims(whole, bound) : normaliseDim(bound);
	const inside = (bound: Dim): Dim =>
		typeof bound === "number" && typeof whole === "number"
			? Math.min(Math.max(bound < 0 ? bound + whole : bound, 0), whole)
			: from(bound);
	const [first, last] = [inside(start), end === undefined ? whole : inside(end)];
	const span = subtractDims(last, first);
	if (!Number.isInteger(step) || step < 1 || (step > 1 && typeof span === "string")) {
		throw x.graph.error(
			"Slice",
			`expected a step ≥ 1, and 1 where a length is a symbol, got ${step} for axis ${along} of ${describe(x)}`,
		);
	}
	const length = typeof span === "string" ? span : Math.max(0, Math.ceil(span / step));
	const g = x.graph;
	const bound = (dim: Dim): Value<"int64"> => (typeof dim === "string" ? g.dimension(dim) : g.ints([dim]));
	// Beyond every length: ONNX cuts it to the axis.
	const inputs = [x, bound(start), bound(end ?? Number.MAX_SAFE_INTEGER), g.ints([along]), g.ints([step])];
	return emit(g, "Slice", inputs, { dtype: x.dtype, shape: x.shape.with(along, length) });
}

/** x under another name. */
export function identity<D extends DType>(x: Value<D>): Value<D> {
	return emit(x.graph, "Identity", [x], x);
}
