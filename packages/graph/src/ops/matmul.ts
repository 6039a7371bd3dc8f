/**
 * Matrix products of floats. https://onnx.ai/onnx/operators – MatMul, Gemm.
 */
import { broadcastShapes, formatShape, sameShape } from "../dimension.ts";
import type { Dim, Float, Shape, Value } from "../types.ts";
import { emit, sameDType } from "./emit.ts";

/**
 * a [..., m, k] · b [..., k, n] → [..., m, n]; the leading axes broadcast. A vector is a row on the left and a column
 * on the right, and its axis is absent from the result. Throws when k differs or the leading axes do not broadcast.
 */
export function matMul<D extends Float | "int32">(a: Value<D>, b: Value<NoInfer<D>>): Value<D> {
	sameDType("MatMul", [a, b]);
	const shape = matMulShape("MatMul", a, b);
	const output = { dtype: a.dtype, shape };
	if (a.shape.length < 2 || b.shape.length > 1) return emit(a.graph, "MatMul", [a, b], output);
	// onnxruntime 1.30 fuses a transposition of a into the product with a vector and then ignores it (graph
	// optimisation "extended": [1, 2, 3] times the transpose of rows 0..2, 3..5, 6..8 gives 8 for 24). As a column the
	// vector is safe. To be removed when operators.test.ts passes without it.
	const column = emit(a.graph, "Unsqueeze", [b, a.graph.ints([1])], {
		dtype: b.dtype,
		shape: [...b.shape, 1],
	});
	const product = emit(a.graph, "MatMul", [a, column], { dtype: a.dtype, shape: [...shape, 1] });
	return emit(a.graph, "Squeeze", [product, a.graph.ints([-1])], output);
}

export interface GemmOptions<D extends Float> {
	/** Added: a shape that broadcasts to [m, n]. Defaults to none. */
	readonly c?: Value<D> | undefined;
	/** Multiplies the product. Defaults to 1. */
	readonly alpha?: number;
	/** Multiplies c. Defaults to 1. */
	readonly beta?: number;
	/** Whether a is [k, m]. Defaults to false. */
	readonly transA?: boolean;
	/** Whether b is [n, k]. Defaults to false. */
	readonly transB?: boolean;
}

/** alpha · a · b + beta · c, a [m, k], b [k, n] → [m, n]. */
export function gemm<D extends Float>(
	a: Value<D>,
	b: Value<NoInfer<D>>,
	{ c, alpha = 1, beta = 1, transA = false, transB = false }: GemmOptions<NoInfer<D>> = {},
): Value<D> {
	const op = "Gemm";
	sameDType(op, c === undefined ? [a, b] : [a, b, c]);
	if (a.shape.length !== 2 || b.shape.length !== 2) {
		throw a.graph.error(
			op,
			`expected two axes in a and b, got ${formatShape(a.shape)} and ${formatShape(b.shape)}. Use matMul`,
		);
	}
	const shape = matMulShape(op, a, b, { transA, transB });
	if (c !== undefined && !sameShape(broadcastShapes(c.shape, shape) ?? [], shape)) {
		throw a.graph.error(op, `expected c to broadcast to ${formatShape(shape)}, got ${formatShape(c.shape)}`);
	}
	const attributes = {
		alpha: { float: alpha },
		beta: { float: beta },
		transA: Number(transA),
		transB: Number(transB),
	};
	return emit(a.graph, op, [a, b, c], { dtype: a.dtype, shape }, { attributes });
}

/** The shape of a product, with either factor transposed in its last two axes. */
export function matMulShape(
	op: string,
	a: Value,
	b: Value,
	{ transA = false, transB = false }: { readonly transA?: boolean; readonly transB?: boolean } = {},
): Shape {
	if (a.shape.length === 0 || b.shape.length === 0) {
		throw a.graph.error(
			op,
			`expected at least one axis in a ${formatShape(a.shape)} and b ${formatShape(b.shape)}. Use mul for scalars`,
		);
	}
	const left = a.shape.length === 1 ? [1, ...a.shape] : a.shape;
	const right = b.shape.length === 1 ? [...b.shape, 1] : b.shape;
	const [m, k] = lastTwo(left, transA);
	const [inner, n] = lastTwo(right, transB);
	if (k !== inner) {
		throw a.graph.error(
			op,
			`expected the ${transA ? "second to last" : "last"} dimension of a ${formatShape(a.shape)} and the ${transB || b.shape.length === 1 ? "last" : "second to last"} of b ${formatShape(b.shape)} to be equal, got ${k} and ${inner}. Transpose or reshape one of them`,
		);
	}
	const leading = broadcastShapes(left.slice(0, -2), right.slice(0, -2));
	if (leading === undefined) {
		throw a.graph.error(
			op,
			`expected the axes before the last two of a ${formatShape(a.shape)} and b ${formatShape(b.shape)} to broadcast (equal or 1)`,
		);
	}
	return [...leading, ...(a.shape.length === 1 ? [] : [m]), ...(b.shape.length === 1 ? [] : [n])];
}

function lastTwo(shape: Shape, transposed: boolean): [Dim, Dim] {
	const rows = shape.at(-2) ?? 1;
	const columns = shape.at(-1) ?? 1;
	return transposed ? [columns, rows] : [rows, columns];
}
