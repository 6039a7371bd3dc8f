/** How tok's host tensors become onnxruntime's, and onnxruntime's outputs become the host's. */
import type { DType, Tensor, TypedArrays } from "@tok/runtime";
import type * as ort from "onnxruntime-common";

/** What one graph session brings to its backend and fetches from there. */
export interface Transfers {
	/** The tensor for an input, for the run that follows at once. */
	feed(name: string, tensor: Tensor): ort.Tensor;
	/**
	 * Runs, or does otherwise what the run would do. Defaults to running.
	 *
	 * @param inputs as `feed` and the stores gave them.
	 */
	readonly run?:
		| ((
				inputs: Readonly<Record<string, ort.Tensor>>,
				outputs: readonly string[],
				run: () => Promise<Readonly<Record<string, ort.Tensor>>>,
		  ) => Promise<Readonly<Record<string, ort.Tensor>>>)
		| undefined;
	/** Outputs as copies that are the caller's; what backs them at onnxruntime is given up. */
	fetch(outputs: Readonly<Record<string, ort.Tensor>>): Promise<Record<string, Tensor>>;
	/** Frees what feeds and outputs passed through. */
	dispose(): void;
}

/** The class of the onnxruntime in use: each of its packages may bring its own. */
export type TensorClass = typeof ort.Tensor;

/** For a backend that computes in the host's memory: nothing is copied on the way in. */
export function hostTransfers(NativeTensor: TensorClass): Transfers {
	return {
		feed: (_, tensor) => toOrt(NativeTensor, tensor),
		async fetch(outputs) {
			const fetched: Record<string, Tensor> = {};
			for (const [name, { type, dims, data }] of Object.entries(outputs))
				fetched[name] = {
					dtype: type as DType,
					dims,
					data: type === "float16" ? bits(data) : (data as TypedArrays[DType]),
				};
			return fetched;
		},
		dispose() {},
	};
}

function toOrt(NativeTensor: TensorClass, { dtype, dims, data }: Tensor): ort.Tensor {
	// The one constructor of onnxruntime that takes a dtype by name is overloaded by literals, not by their union.
	const tensor = new NativeTensor(dtype as "float32", data as Float32Array, dims);
	// onnxruntime-node 1.30.0 wraps float16 bits in a Float16Array where the engine has one (Node 24), and then finds no
	// element in it: "not enough space: expected 4, got 0" for two. Given the bits themselves it reads them. To be
	// removed when conformance case R4b passes on Node 24 without it.
	if (dtype === "float16") Object.defineProperty(tensor, "data", { value: data });
	return tensor;
}

/** float16 as bits: onnxruntime returns a Float16Array where the engine has one. */
function bits(data: ort.Tensor["data"]): Uint16Array {
	const { buffer, byteOffset, length } = data as Uint16Array;
	return new Uint16Array(buffer, byteOffset, length);
}
