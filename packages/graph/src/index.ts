export { GraphBuilder, type GraphOptions } from "./builder.ts";
export { GraphError } from "./errors.ts";
export {
	type Arithmetic,
	abs,
	add,
	div,
	type Elementwise,
	erf,
	exp,
	log,
	max,
	min,
	mul,
	neg,
	pow,
	sigmoid,
	sqrt,
	sub,
	tanh,
} from "./ops/arithmetic.ts";
export { matMul } from "./ops/matmul.ts";
export type {
	Attribute,
	BuiltGraph,
	Dim,
	DType,
	Float,
	Index,
	Integer,
	NodeSpec,
	Numeric,
	Operand,
	OutputSpec,
	Shape,
	TensorData,
	TypedArrays,
	Value,
} from "./types.ts";
