/**
 * Reductions along axes, and softmax. https://onnx.ai/onnx/operators – ReduceSum, ReduceMean, ReduceMax, ReduceMin,
 * Softmax, LogSoftmax.
 */
import type { Float, Numeric, Value } from "../types.ts";
import { axesOf, axisOf, emit, requireDType } from "./emit.ts";

export interface ReduceOptions {
	/** Whether reduced axes stay, with length 1. Defaults to false. */
	readonly keepDims?: boolean;
}

/** Reduces the given axes. `axes` defaults to all. */
export type Reduction<T extends Numeric> = <D extends T>(
	x: Value<D>,
	axes?: readonly number[],
	options?: ReduceOptions,
) => Value<D>;

function reduction<T extends Numeric>(op: string): Reduction<T> {
	return <D extends T>(
		x: Value<D>,
		axes: readonly number[] = [...x.shape.keys()],
		{ keepDims = false }: ReduceOptions = {},
	): Value<D> => {
		const gone = axesOf(x, axes, op);
		// An empty list would mean all axes to ONNX.
		if (gone.length === 0) return x;
		const shape = x.shape.flatMap((dim, axis) => (gone.includes(axis) ? (keepDims ? [1] : []) : [dim]));
		return emit(
			x.graph,
			op,
			[x, x.graph.ints(gone)],
			{ dtype: x.dtype, shape },
			{ attributes: { keepdims: Number(keepDims) } },
		);
	};
}

/** Sum. */
export const reduceSum: Reduction<Float | "int64" | "int32"> = reduction("ReduceSum");
/** Arithmetic mean. */
export const reduceMean: Reduction<Float | "int32"> = reduction("ReduceMean");
/** The largest element. */
export const reduceMax: Reduction<Numeric> = reduction("ReduceMax");
/** The smallest element. */
export const reduceMin: Reduction<Numeric> = reduction("ReduceMin");

/** e^(x − max) / Σ e^(x − max) along one axis. `axis` defaults to −1. */
export function softmax<D extends Float>(x: Value<D>, axis: number = -1): Value<D> {
	requireDType("Softmax", "x", x, "float32", "float16");
	return emit(x.graph, "Softmax", [x], x, { attributes: { axis: axisOf(x, axis, "Softmax") } });
}

/** ln softmax(x) along one axis. `axis` defaults to −1. */
export function logSoftmax<D extends Float>(x: Value<D>, axis: number = -1): Value<D> {
	requireDType("LogSoftmax", "x", x, "float32", "float16");
	return emit(x.graph, "LogSoftmax", [x], x, { attributes: { axis: axisOf(x, axis, "LogSoftmax") } });
}
