/**
 * Fused operators of onnxruntime and products with quantised weights (domain com.microsoft; docs/ContribOperators.md
 * there). A block-quantised weight is (code − zero point) · scale, with one scale per `blockSize` codes of a row.
 * The WebGPU provider has no FusedMatMul and hands it to the CPU.
 */
import { formatShape, sameShape } from "../dimension.ts";
import type { Dim, Float, Index, Value } from "../types.ts";
import { describe, emit, requireDType, requireShape, sameDType } from "./emit.ts";
import { matMulShape } from "./matmul.ts";

const domain = "com.microsoft";

export interface RotaryEmbeddingOptions {
	/** Which dimensions make a pair: 2i and 2i+1 (true), or i and i + rotaryDim/2 (false). Models differ. */
	readonly interleaved: boolean;
	/** Heads in the last axis of an x with 3 axes. Defaults to what the cosines' width says. */
	readonly numHeads?: number | undefined;
	/** Leading dimensions of each head that are rotated, even. Defaults to all. */
	readonly rotaryDim?: number | undefined;
}

/**
 * Rotates queries or keys (RoPE; Su et al. 2021). x [batch, heads, tokens, headDim] or [batch, tokens, heads · headDim];
 * positions int64 [batch, tokens], rows of cos and sin [positions, rotaryDim / 2], or [1], the first token's row.
 */
export function rotaryEmbedding<D extends Float>(
	x: Value<D>,
	positions: Value<"int64">,
	cos: Value<NoInfer<D>>,
	sin: Value<NoInfer<D>>,
	{ interleaved, numHeads, rotaryDim }: RotaryEmbeddingOptions,
): Value<D> {
	const op = "RotaryEmbedding";
	requireDType(op, "x", x, "float32", "float16");
	requireDType(op, "the positions", positions, "int64");
	sameDType(op, [x, cos, sin]);
	const [batch = 1, ...rest] = x.shape;
	if (rest.length !== 2 && rest.length !== 3) {
		throw x.graph.error(
			op,
			`expected x [batch, heads, tokens, headDim] or [batch, tokens, heads·headDim], got ${describe(x)}`,
		);
	}
	const tokens = rest.at(-2) ?? 1;
	const last = rest.at(-1) ?? 1;
	const half = cos.shape[1];
	if (cos.shape.length !== 2 || !sameShape(cos.shape, sin.shape) || typeof half !== "number") {
		throw x.graph.error(
			op,
			`expected cos and sin [positions, rotaryDim/2] of one shape, got ${formatShape(cos.shape)} and ${formatShape(sin.shape)}`,
		);
	}
	if (!sameShape(positions.shape, [batch, tokens]) && !sameShape(positions.shape, [1])) {
		throw x.graph.error(
			op,
			`expected positions ${formatShape([batch, tokens])} or [1] for ${describe(x)}, got ${describe(positions)}`,
		);
	}
	const width = rotaryDim ?? 2 * half;
	const headDim: Dim = rest.length === 3 ? last : numHeads === undefined ? width : Number(last) / numHeads;
	if (
		width !== 2 * half ||
		(typeof headDim === "number" && (headDim < width || !Number.isInteger(headDim)))
	) {
		throw x.graph.error(
			op,
			`expected cos and sin of half of rotaryDim (${width}), at most a head (${headDim}), got ${formatShape(cos.shape)} for ${describe(x)}`,
		);
	}
	// onnxruntime takes 0 for "whole heads" and wants the heads whenever only part of each is rotated.
	const partial = headDim !== width;
	const heads = rest.length === 3 ? Number(rest[0]) : (numHeads ?? Number(last) / width);
	if (!Number.isInteger(heads)) {
		throw x.graph.error(
			op,
			`expected a number of heads that divides the last axis, got ${describe(x)} and heads of ${width}. Pass numHeads`,
		);
	}
	const attributes = {
		interleaved: Number(interleaved),
		...(partial ? { num_heads: heads, rotary_embedding_dim: width } : {}),
	};
	return emit(x.graph, op, [x, positions, cos, sin], x, { domain, attributes });
}

/** x · Φ(x), with the exact normal distribution (Hendrycks & Gimpel 2016). */
export function gelu<D extends Float>(x: Value<D>): Value<D> {
	requireDType("Gelu", "x", x, "float32", "float16");
	return emit(x.graph, "Gelu", [x], x, { domain });
}

/** The tanh approximation of gelu(x + bias); bias [...last axis]. */
export function fastGelu<D extends Float>(x: Value<D>, bias?: Value<NoInfer<D>>): Value<D> {
	requireDType("FastGelu", "x", x, "float32", "float16");
	if (bias !== undefined) requireShape("FastGelu", "a bias", bias, x.shape.slice(-1));
	return emit(x.graph, "FastGelu", [x, bias], x, { domain });
}

export interface QuickGeluOptions {
	/** Defaults to 1.702; 1 makes it SiLU. */
	readonly alpha?: number;
}

/** x · sigmoid(alpha · x). */
export function quickGelu<D extends Float>(x: Value<D>, { alpha = 1.702 }: QuickGeluOptions = {}): Value<D> {
	requireDType("QuickGelu", "x", x, "float32", "float16");
	return emit(x.graph, "QuickGelu", [x], x, { domain, attributes: { alpha: { float: alpha } } });
}

export interface FusedMatMulOptions {
	/** Whether a is transposed in its last two axes. Defaults to false. */
	readonly transA?: boolean;
	/** Whether b is. Defaults to false. */
	readonly transB?: boolean;
	/** Multiplies the product. Defaults to 1. */
	readonly alpha?: number;
}

/** alpha · a · b with either factor transposed, as `matMul` otherwise; both have at least two axes. */
export function fusedMatMul<D extends Float>(
	a: Value<D>,
	b: Value<NoInfer<D>>,
	{ transA = false, transB = false, alpha = 1 }: FusedMatMulOptions = {},
): Value<D> {
	const op = "FusedMatMul";
	requireDType(op, "a", a, "float32", "float16");
	sameDType(op, [a, b]);
	if (a.shape.length < 2 || b.shape.length < 2) {
		throw a.graph.error(
			op,
			`expected at least two axes, got a ${formatShape(a.shape)} and b ${formatShape(b.shape)}`,
		);
	}
	const shape = matMulShape(op, a, b, { transA, transB });
	const attributes = { transA: Number(transA), transB: Number(transB), alpha: { float: alpha } };
	return emit(a.graph, op, [a, b], { dtype: a.dtype, shape }, { domain, attributes });
}

export interface MatMulNBitsOptions<D extends Float> {
	/** Bits of a code. */
	readonly bits: 2 | 4 | 8;
	/** Codes that share a scale: a power of two ≥ 16. */
	readonly blockSize: number;
	/** Packed like the codes, uint8 [n, ⌈blocks · bits / 8⌉], or floats [n, blocks]. Defaults to 2^(bits − 1). */
	readonly zeroPoints?: Value<"uint8"> | Value<D> | undefined;
	/** [n]. Defaults to none. */
	readonly bias?: Value<D> | undefined;
	/** Precision of a within the product: 0 its own, 1 float32, 2 float16, 4 int8 per block. Defaults to 0. */
	readonly accuracyLevel?: 0 | 1 | 2 | 4;
}

/**
 * a [..., k] · Wᵀ + bias → [..., n], W [n, k] quantised along k: codes uint8 [n, ⌈k / blockSize⌉, blockSize · bits / 8]
 * (the first code in the low bits), scales [n, ⌈k / blockSize⌉] or flat, of a's dtype.
 */
export function matMulNBits<D extends Float>(
	a: Value<D>,
	codes: Value<"uint8">,
	scales: Value<NoInfer<D>>,
	{ bits, blockSize, zeroPoints, bias, accuracyLevel = 0 }: MatMulNBitsOptions<NoInfer<D>>,
): Value<D> {
	const op = "MatMulNBits";
	requireDType(op, "a", a, "float32", "float16");
	requireDType(op, "the codes", codes, "uint8");
	sameDType(op, [a, scales]);
	checkBlockSize(op, codes, blockSize);
	const [n, blocks] = codes.shape;
	const k = a.shape.at(-1);
	if (typeof n !== "number" || typeof k !== "number" || typeof blocks !== "number") {
		throw a.graph.error(
			op,
			`expected numbers for the last axis of a and the codes' axes, got ${describe(a)} and ${describe(codes)}`,
		);
	}
	requireShape(op, `codes for a ${formatShape(a.shape)}`, codes, [
		n,
		Math.ceil(k / blockSize),
		(blockSize * bits) / 8,
	]);
	requireShape(op, "scales", scales, scales.shape.length === 1 ? [n * blocks] : [n, blocks]);
	if (zeroPoints !== undefined) {
		requireDType(op, "the zero points", zeroPoints, "uint8", a.dtype);
		requireShape(op, "zero points", zeroPoints, [
			n,
			zeroPoints.dtype === "uint8" ? Math.ceil((blocks * bits) / 8) : blocks,
		]);
	}
	if (bias !== undefined) {
		sameDType(op, [a, bias]);
		requireShape(op, "a bias", bias, [n]);
	}
	const attributes = { K: k, N: n, bits, block_size: blockSize, accuracy_level: accuracyLevel };
	// The fifth input, a group index, is deprecated and always left out.
	const inputs = [a, codes, scales, zeroPoints, undefined, bias];
	return emit(a.graph, op, inputs, { dtype: a.dtype, shape: a.shape.with(-1, n) }, { domain, attributes });
}

export interface GatherBlockQuantizedOptions {
	/** Bits of a code. */
	readonly bits: 2 | 4 | 8;
	/** Codes that share a scale: a power of two ≥ 16. */
	readonly blockSize: number;
	/** Packed like the codes, uint8 [rows, ⌈blocks · bits / 8⌉]. Defaults to 2^(bits − 1). */
	readonly zeroPoints?: Value<"uint8"> | undefined;
}

/**
 * Rows of a quantised table, as for embeddings: codes uint8 [rows, width · bits / 8] (the first code in the low bits),
 * scales [rows, ⌈width / blockSize⌉], indices [...i] → [...i, width] of the scales' dtype.
 */
export function gatherBlockQuantized<D extends Float>(
	codes: Value<"uint8">,
	indices: Value<Index>,
	scales: Value<D>,
	{ bits, blockSize, zeroPoints }: GatherBlockQuantizedOptions,
): Value<D> {
	const op = "GatherBlockQuantized";
	requireDType(op, "the codes", codes, "uint8");
	requireDType(op, "the indices", indices, "int64", "int32");
	requireDType(op, "the scales", scales, "float32", "float16");
	checkBlockSize(op, codes, blockSize);
	const [rows, bytes] = codes.shape;
	if (codes.shape.length !== 2 || rows === undefined || typeof bytes !== "number") {
		throw codes.graph.error(
			op,
			`expected codes [rows, width·bits/8] of a known width, got ${describe(codes)}`,
		);
	}
	const width = (bytes * 8) / bits;
	const blocks = Math.ceil(width / blockSize);
	requireShape(op, `scales for codes ${formatShape(codes.shape)}`, scales, [rows, blocks]);
	if (zeroPoints !== undefined)
		requireShape(op, "zero points", zeroPoints, [rows, Math.ceil((blocks * bits) / 8)]);
	const attributes = { bits, block_size: blockSize, gather_axis: 0, quantize_axis: 1 };
	return emit(
		codes.graph,
		op,
		[codes, indices, scales, zeroPoints],
		{ dtype: scales.dtype, shape: [...indices.shape, width] },
		{ domain, attributes },
	);
}

function checkBlockSize(op: string, value: Value, blockSize: number): void {
	if (Number.isInteger(blockSize) && blockSize >= 16 && Math.log2(blockSize) % 1 === 0) return;
	throw value.graph.error(op, `expected a block size that is a power of two ≥ 16, got ${blockSize}`);
}
