/**
 * Softmax and its logarithm. https://onnx.ai/onnx/operators – Softmax, LogSoftmax.
 */
import type { Float, Value } from "../types.ts";
import { axisOf, emit, requireDType } from "./emit.ts";

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
