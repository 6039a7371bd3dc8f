/**
 * Products of 8-bit integers. https://onnx.ai/onnx/operators – DynamicQuantizeLinear, MatMulInteger;
 * MatMulIntegerToFloat is onnxruntime's (domain com.microsoft; docs/ContribOperators.md there).
 */
import { sameShape } from "../dimension.ts";
import type { Shape, Value } from "../types.ts";
import { emit, requireDType, requireShape, sameDType } from "./emit.ts";
import { matMulShape } from "./matmul.ts";

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

/** (a − aZeroPoint) · (b − bZeroPoint) in int32, shapes as for `matMul`. */
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

/** (a − aZeroPoint) · (b − bZeroPoint) · aScale · bScale + bias; aScale a scalar, bScale a scalar or [n]. */
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
	perColumn(op, "a scale of b", bScale, b);
	if (bias !== undefined) requireShape(op, "a bias", bias, b.shape.slice(-1));
	const inputs = [a, b, aScale, bScale, aZeroPoint, bZeroPoint, bias];
	return emit(a.graph, op, inputs, { dtype: "float32", shape }, { domain: "com.microsoft" });
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
		perColumn(op, "a zero point of b", bZeroPoint, b);
	}
	return matMulShape(op, a, b);
}

function perColumn(op: string, what: string, value: Value, b: Value): void {
	if (value.shape.length > 0 && !sameShape(value.shape, b.shape.slice(-1)))
		requireShape(op, `${what}, a scalar or`, value, b.shape.slice(-1));
}
