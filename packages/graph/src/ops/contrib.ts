/**
 * Fused float operators of onnxruntime (domain com.microsoft; docs/ContribOperators.md there). They run wherever
 * onnxruntime does; the WebGPU provider has no FusedMatMul and hands it to the CPU.
 */
import { formatShape, sameShape } from "../dimension.ts";
import type { Dim, Float, Value } from "../types.ts";
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
