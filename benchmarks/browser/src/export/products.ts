/**
 * Products with a weight [out, inner], and the table of embeddings that is also the head.
 *
 * `fp32` multiplies the weights as they are. `q8` has 8-bit weights with a scale for each output, and rounds activations
 * to 8 bits as they come (DynamicQuantizeLinear, MatMulInteger): the way of the files that transformers.js loads on
 * WebAssembly when it is asked for nothing else.
 */
import {
	cast,
	dynamicQuantizeLinear,
	type GraphBuilder,
	gather,
	gemm,
	matMulInteger,
	mul,
	unsqueeze,
	type Value,
} from "@tok/graph";
import { quantizeRows, transposed } from "./quantize.ts";

export const dtypes = ["fp32", "q8"] as const;
export type Dtype = (typeof dtypes)[number];

export type Rows = Value<"float32">; // [rows, width]

export interface Matrix {
	readonly name: string;
	readonly out: number;
	readonly inner: number;
	readonly data: Float32Array; // [out, inner]
}

/** x [rows, inner] · weightᵀ → [rows, out] */
export function linear(x: Rows, matrix: Matrix, dtype: Dtype): Rows {
	if (dtype === "fp32") return gemm(x, constant(x.graph, matrix), { transB: true });
	const { codes, scales } = quantizeRows(matrix.data, matrix.inner);
	const weight = x.graph.constant(`${matrix.name}.codes`, {
		dtype: "int8",
		dims: [matrix.inner, matrix.out],
		data: transposed(codes, matrix.inner),
	});
	const scale = x.graph.constant(`${matrix.name}.scales`, {
		dtype: "float32",
		dims: [matrix.out],
		data: scales,
	});
	return byteProduct(x, weight, scale);
}

/** The table [out, inner]: its rows by ids, and the head that multiplies by it. */
export function embeddingTable(
	graph: GraphBuilder,
	matrix: Matrix,
	dtype: Dtype,
): { rows(ids: Value<"int64">): Rows; head(x: Rows): Rows } {
	if (dtype === "fp32") {
		const table = constant(graph, matrix);
		return { rows: (ids) => gather(table, ids), head: (x) => gemm(x, table, { transB: true }) };
	}
	const { codes, scales } = quantizeRows(matrix.data, matrix.inner);
	const { name, out, inner } = matrix;
	const table = graph.constant(`${name}.rows`, { dtype: "int8", dims: [out, inner], data: codes });
	const scale = graph.constant(`${name}.row_scales`, { dtype: "float32", dims: [out], data: scales });
	return {
		rows: (ids) => mul(cast(gather(table, ids), "float32"), unsqueeze(gather(scale, ids), [1])),
		head: (x) => linear(x, matrix, dtype),
	};
}

function byteProduct(x: Rows, weight: Value<"int8">, scale: Value<"float32">): Rows {
	const { quantised, scale: own, zeroPoint } = dynamicQuantizeLinear(x);
	const sums = matMulInteger(quantised, weight, { aZeroPoint: zeroPoint });
	return mul(cast(sums, "float32"), mul(own, scale)) as Rows;
}

function constant(graph: GraphBuilder, { name, out, inner, data }: Matrix): Value<"float32"> {
	return graph.constant(name, { dtype: "float32", dims: [out, inner], data });
}
