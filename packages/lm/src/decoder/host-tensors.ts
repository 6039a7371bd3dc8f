/** Tensors that steps feed. */
import type { Tensor } from "@tok/runtime";

export function integers(dims: readonly number[], values: readonly number[]): Tensor<"int64"> {
	return { dtype: "int64", dims, data: BigInt64Array.from(values, BigInt) };
}
