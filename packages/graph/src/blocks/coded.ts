/**
 * Keys and values as the cache keeps them: numbers, or 8-bit codes with a scale for each entry and head, and the two
 * products of attention with either.
 *
 * With codes a product is one of integers: what it is multiplied with is coded too, row by row. On processors without
 * VNNI onnxruntime adds pairs of products in 16 bits, so one side has 7 bits where the other has 8: of queries and keys
 * the queries, of weights and values the values, since most weights are small beside a row's largest (`largestCode` of
 * @tok/runtime). The queries of a group are rows of one product, since fetching the codes is what takes the time.
 */
import { abs, add, div, mul } from "../ops/arithmetic.ts";
import { matMul } from "../ops/matmul.ts";
import { matMulIntegerToFloat, quantizeLinear } from "../ops/quantised.ts";
import { reduceMax } from "../ops/reduction.ts";
import { reshape } from "../ops/shape.ts";
import type { Dim, Value } from "../types.ts";

/** x ≈ codes · scale. */
export interface Coded {
	/** Keys [batch, heads, 1, headDim, slots], to ±127; values [batch, heads, 1, slots, headDim], to ±63. */
	readonly codes: Value<"int8">;
	readonly scale: Value<"float32">; // keys [batch, heads, 1, 1, slots], values [batch, heads, 1, slots, 1]
}

export type Stored = Value<"float32"> | Coded;

export function isCoded(stored: Stored): stored is Coded {
	return "codes" in stored;
}

/** Keeps a row of zeros from being divided by 0; far below any number that counts. */
const NOTHING = 1e-28;
/** The largest code of a query, around 64, and of a weight, which is ≥ 0. */
const QUERY = 63;
const WEIGHT = 255;

/** query · key: [batch, heads, group, n, headDim] → [batch, heads, group, n, slots]. */
export function scoresOf(query: Value<"float32">, key: Stored): Value<"float32"> {
	if (!isCoded(key)) return matMul(query, key);
	const { graph, shape } = query;
	const [, heads, group, , headDim] = shape as [Dim, number, number, Dim, number];
	const rows = reshape(query, [0, heads, 1, -1, headDim]); // [batch, heads, 1, group · n, headDim]
	const most = add(reduceMax(abs(rows), [4], { keepDims: true }), NOTHING);
	const aZeroPoint = graph.scalar("uint8", QUERY + 1);
	const codes = quantizeLinear(div(rows, most), 1 / QUERY, aZeroPoint);
	const step = graph.float(1 / QUERY);
	const products = matMulIntegerToFloat(codes, key.codes, step, key.scale, { aZeroPoint });
	return reshape(mul(products, most), [0, 0, group, -1, key.codes.shape[4] as Dim]);
}

/** Σ weight · value: [batch, heads, group, n, slots] → [batch, heads, group, n, headDim]. Weights are ≥ 0. */
export function weightedSum(weights: Value<"float32">, value: Stored): Value<"float32"> {
	if (!isCoded(value)) return matMul(weights, value);
	const { graph, shape } = weights;
	const [, heads, group, , slots] = shape as [Dim, number, number, Dim, Dim];
	const headDim = value.codes.shape[4] as number;
	const scale = reshape(value.scale, [0, 0, 1, 1, slots]);
	const rows = mul(reshape(weights, [0, heads, 1, -1, slots]), scale); // [batch, heads, 1, group · n, slots]
	const most = add(reduceMax(rows, [4], { keepDims: true }), NOTHING);
	const codes = quantizeLinear(div(rows, most), 1 / WEIGHT, graph.scalar("uint8", 0));
	const sums = matMulIntegerToFloat(codes, value.codes, graph.float(1 / WEIGHT), graph.float(1));
	return reshape(mul(sums, most), [0, 0, group, -1, headDim]);
}
