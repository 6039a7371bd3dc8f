/**
 * Comparisons, logic, selection and conversion; elementwise, with numpy's broadcasting.
 * https://onnx.ai/onnx/operators – Equal, Greater, GreaterOrEqual, Less, LessOrEqual, And, Or, Not, Where, Cast.
 */
import { broadcastShapes, formatShape } from "../dimension.ts";
import { onnxCodes } from "../dtypes.ts";
import type { DType, Numeric, Operand, Value } from "../types.ts";
import { operands } from "./arithmetic.ts";
import { emit, lift, sameDType } from "./emit.ts";

/** [...a] ∘ [...b] → bool of their broadcast shape. One operand may be a number. */
export interface Comparison {
	<D extends Numeric>(a: Value<D>, b: Operand<NoInfer<D>>): Value<"bool">;
	<D extends Numeric>(a: number, b: Value<D>): Value<"bool">;
}

function comparison(op: string): Comparison {
	return <D extends Numeric>(left: Operand<D>, right: Operand<D>): Value<"bool"> => {
		const { a, b, shape } = operands(op, left, right);
		return emit(a.graph, op, [a, b], { dtype: "bool", shape });
	};
}

function logical(op: string): (a: Value<"bool">, b: Value<"bool">) => Value<"bool"> {
	return (left, right) => {
		const { a, b, shape } = operands(op, left, right);
		return emit(a.graph, op, [a, b], { dtype: "bool", shape });
	};
}

/** a = b. */
export const equal: Comparison = comparison("Equal");
/** a > b. */
export const greater: Comparison = comparison("Greater");
/** a ≥ b. */
export const greaterOrEqual: Comparison = comparison("GreaterOrEqual");
/** a < b. */
export const less: Comparison = comparison("Less");
/** a ≤ b. */
export const lessOrEqual: Comparison = comparison("LessOrEqual");
/** Both. */
export const and: (a: Value<"bool">, b: Value<"bool">) => Value<"bool"> = logical("And");
/** Either or both. */
export const or: (a: Value<"bool">, b: Value<"bool">) => Value<"bool"> = logical("Or");

/** The opposite. */
export function not(x: Value<"bool">): Value<"bool"> {
	return emit(x.graph, "Not", [x], { dtype: "bool", shape: x.shape });
}

/** What `where` chooses among: onnxruntime has no kernel for int8 and bool. */
export type Selectable = Exclude<DType, "int8" | "bool">;

/** `a` where the condition holds, `b` elsewhere; all three broadcast. One of a and b may be a number. */
export function where<D extends Selectable>(
	condition: Value<"bool">,
	a: Value<D>,
	b: Operand<NoInfer<D>>,
): Value<D>;
export function where<D extends Selectable>(condition: Value<"bool">, a: number, b: Value<D>): Value<D>;
export function where(condition: Value<"bool">, a: Operand<Selectable>, b: Operand<Selectable>): Value {
	const anchor = typeof a === "number" ? b : a;
	if (typeof anchor === "number") {
		throw condition.graph.error(
			"Where",
			`expected a value to choose, got the numbers ${a} and ${b}. Write one with scalar()`,
		);
	}
	const [x, y] = [lift(condition.graph, anchor.dtype, a), lift(condition.graph, anchor.dtype, b)];
	sameDType("Where", [x, y]);
	const shape = broadcastShapes(condition.shape, x.shape, y.shape);
	if (shape === undefined) {
		throw condition.graph.error(
			"Where",
			`expected shapes that broadcast (equal or 1 from the last axis on), got condition ${formatShape(condition.shape)}, a ${formatShape(x.shape)} and b ${formatShape(y.shape)}`,
		);
	}
	return emit(condition.graph, "Where", [condition, x, y], { dtype: anchor.dtype, shape });
}

/** Converts to another dtype: floats to integers towards zero, numbers to bool by ≠ 0. The same dtype costs no node. */
export function cast<D extends DType>(x: Value, dtype: D): Value<D> {
	if (x.dtype === dtype) return x as Value<D>;
	return emit(x.graph, "Cast", [x], { dtype, shape: x.shape }, { attributes: { to: onnxCodes[dtype] } });
}
