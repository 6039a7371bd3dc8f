/**
 * One row of the tables that every operator's inference and values are checked by. Shapes hold the symbols batch,
 * tokens and slots; each case runs with several lengths for them, once with symbols in the graph, once with numbers.
 */
import type { GraphBuilder } from "../builder.ts";
import type { DType, Shape, Value } from "../types.ts";
import type { NdArray } from "./nd-array.ts";

/** dtype, shape, and the range of its random elements (−2 to 2 unless told). */
export type InputSpec = readonly [DType, Shape, (readonly [number, number])?];
/** An element of an output by its coordinates. */
export type Formula = (...index: number[]) => number;

export interface OperatorCase {
	readonly name: string;
	readonly inputs: Readonly<Record<string, InputSpec>>;
	build(values: Readonly<Record<string, Value>>, graph: GraphBuilder): readonly Value[];
	/** Undefined where only dtypes and shapes are compared. */
	readonly expected: ((arrays: Readonly<Record<string, NdArray>>) => readonly Formula[]) | undefined;
	/** Whether the case also holds when every symbol is a number: it does when `build` names none. */
	readonly numeric: boolean;
	/** Relative and absolute; float32's rounding unless told. */
	readonly tolerance: number;
}

export function define<const I extends Record<string, InputSpec>>(
	name: string,
	inputs: I,
	build: (values: { [K in keyof I]: Value<I[K][0]> }, graph: GraphBuilder) => Value | readonly Value[],
	expected?: (arrays: { [K in keyof I]: NdArray }) => Formula | readonly Formula[],
	tolerance = 1e-5,
): OperatorCase {
	return {
		name,
		inputs,
		build: (values, graph) => [build(values as { [K in keyof I]: Value<I[K][0]> }, graph)].flat() as Value[],
		expected: expected && ((arrays) => [expected(arrays as { [K in keyof I]: NdArray })].flat() as Formula[]),
		numeric: true,
		tolerance,
	};
}

/** A case whose `build` names symbols, which the graph must therefore have. */
export function withSymbols(operator: OperatorCase): OperatorCase {
	return { ...operator, numeric: false };
}

/** A range without zeros and poles. */
export const positive = [0.1, 3] as const;

/** Abramowitz and Stegun 7.1.5, the series, which converges fast where it is used. */
export function erfSeries(x: number): number {
	let [term, total] = [x, x];
	for (let n = 1; n < 60; n++) {
		term *= (-x * x) / n;
		total += term / (2 * n + 1);
	}
	return (2 / Math.sqrt(Math.PI)) * total;
}
