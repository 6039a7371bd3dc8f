/**
 * The vocabulary of graphs: dimensions, dtypes, values, attributes. Types only.
 *
 * A dimension is a number or a symbol. Symbols form sums and products ("slots+tokens", "2*tokens"), kept in one normal
 * form, so that two equal dimensions are equal strings; see dimension.ts.
 */
import type { GraphBuilder } from "./builder.ts";

/** A length, or a symbol for one that is known when the graph runs: "tokens". */
export type Dim = number | string;
export type Shape = readonly Dim[];

export type DType = "float32" | "float16" | "int64" | "int32" | "uint8" | "int8" | "bool";
export type Float = "float32" | "float16";
export type Integer = "int64" | "int32" | "uint8" | "int8";
/** What indexes: ONNX takes both widths wherever it gathers, scatters or slices. */
export type Index = "int64" | "int32";
export type Numeric = Float | Integer;

export interface TypedArrays {
	float32: Float32Array;
	float16: Uint16Array;
	int64: BigInt64Array;
	int32: Int32Array;
	uint8: Uint8Array;
	int8: Int8Array;
	bool: Uint8Array;
}

/** Numbers of a known shape, row-major. */
export interface TensorData<D extends DType = DType> {
	readonly dtype: D;
	readonly dims: readonly number[];
	readonly data: TypedArrays[D];
}

/** A tensor that exists when the graph runs: an input, a constant or an output of a node. */
export interface Value<D extends DType = DType> {
	readonly graph: GraphBuilder;
	readonly name: string;
	readonly dtype: D;
	readonly shape: Shape;
}

/** A value, or a number that becomes a scalar of the other operand's dtype. */
export type Operand<D extends DType> = Value<D> | number;

/** An attribute of a node. A bare number is an integer and a bare list holds integers; floats are marked. */
export type Attribute =
	| number
	| bigint
	| string
	| readonly (number | bigint)[]
	| { readonly float: number }
	| { readonly floats: readonly number[] }
	| { readonly strings: readonly string[] }
	| { readonly tensor: TensorData };

export interface OutputSpec<D extends DType = DType> {
	readonly dtype: D;
	readonly shape: Shape;
}

/** A node as ONNX spells it, for operators that have no function here. */
export interface NodeSpec {
	readonly op: string;
	/** Defaults to "", the ONNX operators. */
	readonly domain?: string;
	/** `undefined` leaves out an optional input. */
	readonly inputs: readonly (Value | undefined)[];
	/** Defaults to none. */
	readonly attributes?: Readonly<Record<string, Attribute>>;
	/** `undefined` leaves out an optional output. */
	readonly outputs: readonly (OutputSpec | undefined)[];
	/** Defaults to the operator's name, numbered when the scope already has one. */
	readonly name?: string;
}

/** A serialised graph, and the weights that lie outside it, named by `path` in the graph. */
export interface BuiltGraph {
	readonly model: Uint8Array;
	readonly weights: { readonly path: string; readonly data: Uint8Array }[];
}
