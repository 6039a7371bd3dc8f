/**
 * Elementwise arithmetic, with numpy's broadcasting; a plain number is a scalar of the other operand's dtype.
 * https://onnx.ai/onnx/operators – Add, Sub, Mul, Div, Pow, Min, Max, Neg, Abs, Sqrt, Exp, Log, Tanh, Sigmoid, Erf.
 */
import { broadcastShapes, formatShape } from "../dimension.ts";
import { GraphError } from "../errors.ts";
import type { DType, Float, Index, Numeric, Operand, Shape, Value } from "../types.ts";
import { emit, lift, requireDType, sameDType } from "./emit.ts";

/** [...a] ∘ [...b] → their broadcast shape. One operand may be a number. Throws when the shapes do not broadcast. */
export interface Arithmetic<T extends Numeric = Numeric> {
	<D extends T>(a: Value<D>, b: Operand<NoInfer<D>>): Value<D>;
	<D extends T>(a: number, b: Value<D>): Value<D>;
}

/** [...] → [...], element by element. */
export type Elementwise<T extends DType> = <D extends T>(x: Value<D>) => Value<D>;

/** The operands of an elementwise node as values of one dtype, and the shape they broadcast to. */
export function operands<D extends DType>(
	op: string,
	a: Operand<D>,
	b: Operand<D>,
): { readonly a: Value<D>; readonly b: Value<D>; readonly shape: Shape } {
	const anchor = typeof a === "number" ? b : a;
	if (typeof anchor === "number") throw new GraphError(`internal: ${op} of two numbers`);
	const pair = [lift(anchor.graph, anchor.dtype, a), lift(anchor.graph, anchor.dtype, b)] as const;
	sameDType(op, pair);
	const shape = broadcastShapes(pair[0].shape, pair[1].shape);
	if (shape === undefined) {
		throw anchor.graph.error(
			op,
			`expected shapes that broadcast (equal or 1 from the last axis on), got a ${formatShape(pair[0].shape)} and b ${formatShape(pair[1].shape)}. Reshape or unsqueeze one of them`,
		);
	}
	return { a: pair[0], b: pair[1], shape };
}

function arithmetic(op: string): Arithmetic {
	return <D extends Numeric>(left: Operand<D>, right: Operand<D>): Value<D> => {
		const { a, b, shape } = operands(op, left, right);
		return emit(a.graph, op, [a, b], { dtype: a.dtype, shape });
	};
}

function elementwise<T extends DType>(op: string, ...dtypes: readonly T[]): Elementwise<T> {
	return <D extends T>(x: Value<D>): Value<D> => {
		requireDType(op, "x", x, ...dtypes);
		return emit(x.graph, op, [x], x);
	};
}

/** a + b. */
export const add: Arithmetic = arithmetic("Add");
/** a − b. */
export const sub: Arithmetic = arithmetic("Sub");
/** a · b, element by element. */
export const mul: Arithmetic = arithmetic("Mul");
/** a / b; of integers, truncated towards zero. */
export const div: Arithmetic = arithmetic("Div");
/** a to the power of b. */
export const pow: Arithmetic<Float | Index> = arithmetic("Pow");
/** The smaller of a and b. */
export const min: Arithmetic = arithmetic("Min");
/** The larger of a and b. */
export const max: Arithmetic = arithmetic("Max");

/** −x. */
export const neg: Elementwise<Float | "int64" | "int32" | "int8"> = elementwise(
	"Neg",
	"float32",
	"float16",
	"int64",
	"int32",
	"int8",
);
/** |x|. */
export const abs: Elementwise<Numeric> = elementwise(
	"Abs",
	"float32",
	"float16",
	"int64",
	"int32",
	"uint8",
	"int8",
);
/** The nearest integer, halves to the even one. */
export const round: Elementwise<Float> = elementwise("Round", "float32", "float16");
/** √x. */
export const sqrt: Elementwise<Float> = elementwise("Sqrt", "float32", "float16");
/** eˣ. */
export const exp: Elementwise<Float> = elementwise("Exp", "float32", "float16");
/** ln x. */
export const log: Elementwise<Float> = elementwise("Log", "float32", "float16");
/** tanh x. */
export const tanh: Elementwise<Float> = elementwise("Tanh", "float32", "float16");
/** 1 / (1 + e⁻ˣ). */
export const sigmoid: Elementwise<Float> = elementwise("Sigmoid", "float32", "float16");
/** max(x, 0). */
export const relu: Elementwise<Float> = elementwise("Relu", "float32", "float16");
/** sin x, in radians. */
export const sin: Elementwise<"float32"> = elementwise("Sin", "float32");
/** cos x, in radians. */
export const cos: Elementwise<"float32"> = elementwise("Cos", "float32");
/** 2/√π ∫₀ˣ e^(−t²) dt. */
export const erf: Elementwise<Float> = elementwise("Erf", "float32", "float16");
