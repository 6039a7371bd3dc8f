/**
 * A linear layer over rows, with its weight in float32 or quantised in blocks.
 * Weights lie as [out, in], as checkpoints store them.
 */
import { gemm } from "../ops/matmul.ts";
import { matMulNBits } from "../ops/quantised.ts";
import type { Value } from "../types.ts";

export type LinearWeight = DenseWeight | BlockWeight;

export interface DenseWeight {
	readonly kind: "dense";
	readonly weight: Value<"float32">; // [out, in]
	readonly bias?: Value<"float32"> | undefined; // [out]
}

export interface BlockWeight {
	readonly kind: "blocks";
	readonly bits: 4 | 8;
	readonly blockSize: number;
	readonly codes: Value<"uint8">; // [out, blocks, blockSize · bits / 8]
	readonly scales: Value<"float32">; // [out, blocks]
	readonly bias?: Value<"float32"> | undefined; // [out]
}

/** x [rows, in] → x · weightᵀ + bias [rows, out]. Block weights meet activations rounded to 8 bits. */
export function linear(x: Value<"float32">, weight: LinearWeight): Value<"float32"> {
	const { bias } = weight;
	if (weight.kind === "dense")
		return gemm(x, weight.weight, { transB: true, ...(bias === undefined ? {} : { c: bias }) });
	return matMulNBits(x, weight.codes, weight.scales, {
		bits: weight.bits,
		blockSize: weight.blockSize,
		// Activations as int8 per block, products summed in integers.
		accuracyLevel: 4,
		...(bias === undefined ? {} : { bias }),
	});
}
