/**
 * What every operator's function shares: append a node with one output, check axes and dtypes, turn numbers into
 * scalars. Internal to the package.
 */
import type { GraphBuilder } from "../builder.ts";
import { formatShape } from "../dimension.ts";
import type { Attribute, DType, Operand, OutputSpec, Shape, Value } from "../types.ts";

export interface EmitOptions {
	readonly attributes?: Readonly<Record<string, Attribute>>;
	/** Defaults to "", the ONNX operators. */
	readonly domain?: string;
}

/** Appends a node with one output. */
export function emit<D extends DType>(
	graph: GraphBuilder,
	op: string,
	inputs: readonly (Value | undefined)[],
	output: OutputSpec<D>,
	options: EmitOptions = {},
): Value<D> {
	const [value] = graph.node({ op, inputs, outputs: [output], ...options });
	return value as Value<D>;
}

/** Appends a node whose outputs all have one dtype. */
export function emitAll<D extends DType>(
	graph: GraphBuilder,
	op: string,
	inputs: readonly (Value | undefined)[],
	outputs: readonly (OutputSpec<D> | undefined)[],
	options: EmitOptions = {},
): Value<D>[] {
	return graph.node({ op, inputs, outputs, ...options }) as Value<D>[];
}

/** A number as a scalar constant of `dtype`. */
export function lift<D extends DType>(graph: GraphBuilder, dtype: D, operand: Operand<D>): Value<D> {
	return typeof operand === "number" ? graph.scalar(dtype, operand) : operand;
}

/** An axis counted from 0; −1 is the last. Throws outside [−rank, rank). */
export function axisOf(value: Value, axis: number, op: string, rank: number = value.shape.length): number {
	if (Number.isInteger(axis) && axis >= -rank && axis < rank) return axis < 0 ? axis + rank : axis;
	throw value.graph.error(
		op,
		`expected an axis from ${-rank} to ${rank - 1} for ${describe(value)}, got ${axis}`,
	);
}

/** Axes counted from 0, ascending; every one once. */
export function axesOf(value: Value, axes: readonly number[], op: string, rank?: number): number[] {
	const found = axes.map((axis) => axisOf(value, axis, op, rank)).sort((a, b) => a - b);
	if (new Set(found).size === found.length) return found;
	throw value.graph.error(op, `expected every axis once for ${describe(value)}, got [${axes.join(", ")}]`);
}

/** Throws unless all values have the first one's dtype. */
export function sameDType(op: string, [first, ...rest]: readonly Value[]): void {
	const odd = rest.find((value) => value.dtype !== first?.dtype);
	if (first === undefined || odd === undefined) return;
	throw first.graph.error(
		op,
		`expected one dtype, got ${describe(first)} and ${describe(odd)}. Cast one of them`,
	);
}

/** Throws unless `value` has one of `dtypes`. */
export function requireDType(op: string, what: string, value: Value, ...dtypes: readonly DType[]): void {
	if (dtypes.includes(value.dtype)) return;
	throw value.graph.error(
		op,
		`expected ${what} to be ${dtypes.join(" or ")}, got ${describe(value)}. Cast it`,
	);
}

/** Throws unless `value` has exactly `shape`. */
export function requireShape(op: string, what: string, value: Value, shape: Shape): void {
	if (formatShape(value.shape) === formatShape(shape)) return;
	throw value.graph.error(op, `expected ${what} of shape ${formatShape(shape)}, got ${describe(value)}`);
}

/** "layers.3/MatMul float32 [batch, 4]", for messages. */
export function describe(value: Value): string {
	return `${value.name} ${value.dtype} ${formatShape(value.shape)}`;
}
