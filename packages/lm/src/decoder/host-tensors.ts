/** Tensors that steps feed. */
import type { Tensor } from "@tok/runtime";

export function integers(dims: readonly number[], values: readonly number[]): Tensor<"int64"> {
	return { dtype: "int64", dims, data: BigInt64Array.from(values, BigInt) };
}

/** What the WebGPU provider counts in. */
export function narrowIntegers(dims: readonly number[], values: readonly number[]): Tensor<"int32"> {
	return { dtype: "int32", dims, data: Int32Array.from(values) };
}
