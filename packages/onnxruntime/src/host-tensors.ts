/** tok's host tensors as onnxruntime's and back, without copying what lies in the host's memory. */
import type { DType, Tensor, TypedArrays } from "@tok/runtime";
import type * as ort from "onnxruntime-common";

/** The class of the onnxruntime in use: each of its packages may bring its own. */
export type TensorClass = typeof ort.Tensor;

export function toOrt(NativeTensor: TensorClass, { dtype, dims, data }: Tensor): ort.Tensor {
	// The one constructor of onnxruntime that takes a dtype by name is overloaded by literals, not by their union.
	const tensor = new NativeTensor(dtype as "float32", data as Float32Array, dims);
	// onnxruntime-node 1.30.0 wraps float16 bits in a Float16Array where the engine has one (Node 24), and then finds no
	// element in it: "not enough space: expected 4, got 0" for two. Given the bits themselves it reads them. To be
	// removed when conformance case R4b passes on Node 24 without it.
	if (dtype === "float16") Object.defineProperty(tensor, "data", { value: data });
	return tensor;
}

export async function fromOrt(tensor: ort.Tensor): Promise<Tensor> {
	const { type, dims } = tensor;
	const data = tensor.location === "cpu" ? tensor.data : await tensor.getData(true);
	return { dtype: type as DType, dims, data: type === "float16" ? bits(data) : (data as TypedArrays[DType]) };
}

/** float16 as bits: onnxruntime returns a Float16Array where the engine has one. */
function bits(data: ort.Tensor["data"]): Uint16Array {
	const { buffer, byteOffset, length } = data as Uint16Array;
	return new Uint16Array(buffer, byteOffset, length);
}
