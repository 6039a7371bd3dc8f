export { GraphBuilder, type GraphOptions } from "./builder.ts";
export { GraphError } from "./errors.ts";
export {
	type Arithmetic,
	abs,
	add,
	cos,
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
	relu,
	sigmoid,
	sin,
	sqrt,
	sub,
	tanh,
} from "./ops/arithmetic.ts";
export {
	and,
	type Comparison,
	cast,
	equal,
	greater,
	greaterOrEqual,
	less,
	lessOrEqual,
	not,
	or,
	where,
} from "./ops/comparison.ts";
export {
	type FusedMatMulOptions,
	fastGelu,
	fusedMatMul,
	type GatherBlockQuantizedOptions,
	gatherBlockQuantized,
	gelu,
	type MatMulNBitsOptions,
	matMulNBits,
	type QuickGeluOptions,
	quickGelu,
	type RotaryEmbeddingOptions,
	rotaryEmbedding,
} from "./ops/contrib.ts";
export {
	type GatherNDOptions,
	gather,
	gatherElements,
	gatherND,
	type ScatterElementsOptions,
	type ScatterNDOptions,
	type ScatterReduction,
	scatterElements,
	scatterND,
} from "./ops/gather.ts";
export {
	dynamicQuantizeLinear,
	type MatMulIntegerOptions,
	type MatMulIntegerToFloatOptions,
	matMulInteger,
	matMulIntegerToFloat,
} from "./ops/integer.ts";
export {
	assumeShape,
	type ConstantOfShapeOptions,
	constantOfShape,
	type RangeOptions,
	range,
	type ShapeOfOptions,
	shapeOf,
	shapeTensor,
} from "./ops/lengths.ts";
export { type GemmOptions, gemm, matMul } from "./ops/matmul.ts";
export {
	type LayerNormalizationOptions,
	layerNormalization,
	type NormalisationOptions,
	type SkipNormalisationOptions,
	simplifiedLayerNormalization,
	skipSimplifiedLayerNormalization,
} from "./ops/normalisation.ts";
export {
	type ReduceOptions,
	type Reduction,
	reduceMax,
	reduceMean,
	reduceMin,
	reduceSum,
} from "./ops/reduce.ts";
export { type ArgMaxOptions, argMax, type TopKOptions, topK } from "./ops/select.ts";
export {
	concat,
	expand,
	identity,
	reshape,
	type SliceOptions,
	slice,
	split,
	squeeze,
	transpose,
	unsqueeze,
} from "./ops/shape.ts";
export { logSoftmax, softmax } from "./ops/softmax.ts";
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
