/**
 * A linear layer over rows, with its weight in float32 or quantised in blocks.
 * Weights lie as [out, in], as checkpoints store them.
 */
import { abs, add, div, max, mul, round, sub } from "../ops/arithmetic.ts";
import { gemm } from "../ops/matmul.ts";
import { matMulNBits } from "../ops/quantised.ts";
import { reduceMax } from "../ops/reduction.ts";
import { concat, reshape, split } from "../ops/shape.ts";
import type { Dim, Value } from "../types.ts";

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
	/**
	 * 8-bit terms that activations are split into: with 2, what rounding leaves over is rounded once more and multiplied
	 * too, which is nearly float32's accuracy for twice the rows. 2 needs `in` to be whole blocks. With 0 they stay
	 * float32.
	 */
	readonly terms: 0 | 1 | 2;
	readonly bias?: Value<"float32"> | undefined; // [out]
}

/** x [rows, in] → x · weightᵀ + bias [rows, out]. Block weights meet activations as `terms` says. */
export function linear(x: Value<"float32">, weight: LinearWeight): Value<"float32"> {
	if (weight.kind === "blocks")
		return weight.terms === 2 ? twoTermProduct(x, weight) : blockProduct(x, weight);
	const { bias } = weight;
	return gemm(x, weight.weight, { transB: true, ...(bias === undefined ? {} : { c: bias }) });
}

function blockProduct(
	x: Value<"float32">,
	{ codes, scales, bits, blockSize, terms, bias }: BlockWeight,
): Value<"float32"> {
	return matMulNBits(x, codes, scales, {
		bits,
		blockSize,
		// 4: activations as int8 per block, products summed in integers; 1: float32.
		accuracyLevel: terms === 0 ? 1 : 4,
		...(bias === undefined ? {} : { bias }),
	});
}

function twoTermProduct(x: Value<"float32">, { bias, ...weight }: BlockWeight): Value<"float32"> {
	const [rows, width] = x.shape as [Dim, number];
	const blocks = reshape(x, [0, width / weight.blockSize, weight.blockSize]);
	// As MatMulNBits rounds: to 127ths of a block's largest magnitude.
	const step = max(mul(reduceMax(abs(blocks), [-1], { keepDims: true }), 1 / 127), 1e-30);
	const coarse = reshape(mul(round(div(blocks, step)), step), [0, width]);
	const products = blockProduct(concat([coarse, sub(x, coarse)], 0), weight);
	const [first, second] = split(products, [rows, rows], 0) as [Value<"float32">, Value<"float32">];
	const product = add(first, second);
	return bias === undefined ? product : add(product, bias);
}
