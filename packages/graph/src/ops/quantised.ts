/**
 * Products and look-ups with quantised weights. MatMulNBits, GatherBlockQuantized and MatMulIntegerToFloat are
 * onnxruntime's (domain com.microsoft; docs/ContribOperators.md there); QuantizeLinear, DynamicQuantizeLinear and MatMulInteger are ONNX.
 *
 * A block-quantised weight is (code − zero point) · scale, with one scale per `blockSize` codes of a row.
 */
import { formatShape, sameShape } from "../dimension.ts";
import type { Float, Index, Operand, Shape, Value } from "../types.ts";
import { describe, emit, lift, requireDType, requireShape, sameDType } from "./emit.ts";
import { matMulShape } from "./matmul.ts";

const domain = "com.microsoft";

export interface MatMulNBitsOptions<D extends Float> {
	/** Bits of a code. */
	readonly bits: 2 | 4 | 8;
	/** Codes that share a scale: a power of two ≥ 16. */
	readonly blockSize: number;
	/**
	 * Packed like the codes, uint8 [n, ⌈blocks · bits / 8⌉], or floats [n, blocks], which the CPU takes at 2 and 4 bits
	 * only, and slowly. Defaults to 2^(bits − 1).
	 */
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

/** x / scale + zeroPoint, rounded (halves to even) and within what the zero point's dtype holds; both are scalars. */
export function quantizeLinear<D extends "uint8" | "int8">(
	x: Value<"float32">,
	scale: Operand<"float32">,
	zeroPoint: Value<D>,
): Value<D> {
	const op = "QuantizeLinear";
	requireDType(op, "x", x, "float32");
	requireDType(op, "the zero point", zeroPoint, "uint8", "int8");
	const step = lift(x.graph, "float32", scale);
	requireShape(op, "a scale", step, []);
	requireShape(op, "a zero point", zeroPoint, []);
	return emit(x.graph, op, [x, step, zeroPoint], { dtype: zeroPoint.dtype, shape: x.shape });
}

/** x as 8-bit codes over the range of its elements and 0: x ≈ (quantised − zeroPoint) · scale, both scalars. */
export function dynamicQuantizeLinear(x: Value<"float32">): {
	readonly quantised: Value<"uint8">;
	readonly scale: Value<"float32">;
	readonly zeroPoint: Value<"uint8">;
} {
	requireDType("DynamicQuantizeLinear", "x", x, "float32");
	const [quantised, scale, zeroPoint] = x.graph.node({
		op: "DynamicQuantizeLinear",
		inputs: [x],
		outputs: [
			{ dtype: "uint8", shape: x.shape },
			{ dtype: "float32", shape: [] },
			{ dtype: "uint8", shape: [] },
		],
	});
	return {
		quantised: quantised as Value<"uint8">,
		scale: scale as Value<"float32">,
		zeroPoint: zeroPoint as Value<"uint8">,
	};
}

export interface MatMulIntegerOptions<A extends "uint8" | "int8", B extends "uint8" | "int8"> {
	/** Scalar. Defaults to 0. */
	readonly aZeroPoint?: Value<A> | undefined;
	/** Scalar, or [n] for one per column of b. Defaults to 0. */
	readonly bZeroPoint?: Value<B> | undefined;
}

/**
 * (a − aZeroPoint) · (b − bZeroPoint) in int32, shapes as for `matMul`. On x86 without VNNI onnxruntime adds pairs of
 * uint8 · int8 products in 16 bits, which saturate: keep one side within 7 bits there.
 */
export function matMulInteger<A extends "uint8" | "int8", B extends "uint8" | "int8">(
	a: Value<A>,
	b: Value<B>,
	{ aZeroPoint, bZeroPoint }: MatMulIntegerOptions<NoInfer<A>, NoInfer<B>> = {},
): Value<"int32"> {
	const op = "MatMulInteger";
	const shape = checkInteger(op, a, b, aZeroPoint, bZeroPoint);
	return emit(a.graph, op, [a, b, aZeroPoint, bZeroPoint], { dtype: "int32", shape });
}

export interface MatMulIntegerToFloatOptions<A extends "uint8" | "int8", B extends "uint8" | "int8">
	extends MatMulIntegerOptions<A, B> {
	/** [n]. Defaults to none. */
	readonly bias?: Value<"float32"> | undefined;
}

/**
 * (a − aZeroPoint) · (b − bZeroPoint) · aScale · bScale + bias; aScale a scalar, bScale a scalar, [n], or of b's shape
 * with 1 for k. Saturates as `matMulInteger` does.
 */
export function matMulIntegerToFloat<A extends "uint8" | "int8", B extends "uint8" | "int8">(
	a: Value<A>,
	b: Value<B>,
	aScale: Value<"float32">,
	bScale: Value<"float32">,
	{ aZeroPoint, bZeroPoint, bias }: MatMulIntegerToFloatOptions<NoInfer<A>, NoInfer<B>> = {},
): Value<"float32"> {
	const op = "MatMulIntegerToFloat";
	const shape = checkInteger(op, a, b, aZeroPoint, bZeroPoint);
	requireDType(op, "the scale of a", aScale, "float32");
	requireDType(op, "the scale of b", bScale, "float32");
	requireShape(op, "a scale of a", aScale, []);
	const perMatrix = bScale.shape.length > 1 && b.shape.length > 1;
	perColumn(op, "a scale of b", bScale, perMatrix ? b.shape.with(-2, 1) : b.shape.slice(-1));
	if (bias !== undefined) requireShape(op, "a bias", bias, b.shape.slice(-1));
	const inputs = [a, b, aScale, bScale, aZeroPoint, bZeroPoint, bias];
	return emit(a.graph, op, inputs, { dtype: "float32", shape }, { domain });
}

function checkInteger(op: string, a: Value, b: Value, aZeroPoint?: Value, bZeroPoint?: Value): Shape {
	requireDType(op, "a", a, "uint8", "int8");
	requireDType(op, "b", b, "uint8", "int8");
	if (aZeroPoint !== undefined) {
		sameDType(op, [a, aZeroPoint]);
		requireShape(op, "a zero point of a", aZeroPoint, []);
	}
	if (bZeroPoint !== undefined) {
		sameDType(op, [b, bZeroPoint]);
		perColumn(op, "a zero point of b", bZeroPoint, b.shape.slice(-1));
	}
	return matMulShape(op, a, b);
}

function perColumn(op: string, what: string, value: Value, columns: Shape): void {
	if (value.shape.length > 0 && !sameShape(value.shape, columns))
		requireShape(op, `${what}, a scalar or`, value, columns);
}

function checkBlockSize(op: string, value: Value, blockSize: number): void {
	if (Number.isInteger(blockSize) && blockSize >= 16 && Math.log2(blockSize) % 1 === 0) return;
	throw value.graph.error(op, `expected a block size that is a power of two ≥ 16, got ${blockSize}`);
}
