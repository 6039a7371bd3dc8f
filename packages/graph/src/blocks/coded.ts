/**
 * Keys and values as the cache keeps them: numbers, or 8-bit codes with a scale for each entry and head, and the two
 * products of attention with either.
 *
 * With codes a product is one of integers: what it is multiplied with is coded too, row by row, in 7 bits. On processors
 * without VNNI onnxruntime adds pairs of products in 16 bits, which hold 2 · 127 · 127 and no more. The queries of a
 * group are rows of one product, since fetching the codes is what takes the time.
 */
import { abs, add, div, mul } from "../ops/arithmetic.ts";
import { cast } from "../ops/comparison.ts";
import { matMul } from "../ops/matmul.ts";
import { matMulInteger } from "../ops/quantised.ts";
import { reduceMax } from "../ops/reduction.ts";
import { reshape, squeeze } from "../ops/shape.ts";
import type { Dim, Value } from "../types.ts";

/** x ≈ codes · scale. */
export interface Coded {
	readonly codes: Value<"int8">; // keys [batch, heads, 1, headDim, slots], values [batch, heads, 1, slots, headDim]
	readonly scale: Value<"float32">; // keys [batch, heads, 1, 1, slots], values [batch, heads, 1, slots, 1]
}

export type Stored = Value<"float32"> | Coded;

export function isCoded(stored: Stored): stored is Coded {
	return "codes" in stored;
}

/** Keeps a row of zeros from being divided by 0; far below any scale. */
const NOTHING = 1e-30;

/** query · key: [batch, heads, group, n, headDim] → [batch, heads, group, n, slots]. */
export function scoresOf(query: Value<"float32">, key: Stored): Value<"float32"> {
	if (!isCoded(key)) return matMul(query, key);
	const [, heads, group, , headDim] = query.shape as [Dim, number, number, Dim, number];
	const rows = reshape(query, [0, heads, -1, headDim]); // [batch, heads, group · n, headDim]
	const step = add(mul(reduceMax(abs(rows), [3], { keepDims: true }), 1 / 63), NOTHING);
	// A cast cuts off: with a half more it rounds, and 64 makes all of them positive.
	const codes = cast(add(div(rows, step), 64.5), "uint8");
	const zero = query.graph.scalar("uint8", 64);
	const products = cast(matMulInteger(codes, squeeze(key.codes, [2]), { aZeroPoint: zero }), "float32");
	const scores = mul(mul(products, squeeze(key.scale, [2])), step);
	return reshape(scores, [0, 0, group, -1, key.codes.shape[4] as Dim]);
}

/** Σ weight · value: [batch, heads, group, n, slots] → [batch, heads, group, n, headDim]. Weights are ≥ 0. */
export function weightedSum(weights: Value<"float32">, value: Stored): Value<"float32"> {
	if (!isCoded(value)) return matMul(weights, value);
	const [, heads, group, , slots] = weights.shape as [Dim, number, number, Dim, Dim];
	const headDim = value.codes.shape[4] as number;
	const scale = reshape(value.scale, [0, 0, 1, slots]);
	const rows = mul(reshape(weights, [0, heads, -1, slots]), scale); // [batch, heads, group · n, slots]
	const step = add(mul(reduceMax(rows, [3], { keepDims: true }), 1 / 127), NOTHING);
	const codes = cast(add(div(rows, step), 0.5), "uint8");
	const sums = mul(cast(matMulInteger(codes, squeeze(value.codes, [2])), "float32"), step);
	return reshape(sums, [0, 0, group, -1, headDim]);
}
