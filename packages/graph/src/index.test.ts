/** What the package exports, and the marker by which its errors are known. */
import { expect, test } from "vitest";
import * as graph from "./index.ts";

test("the exports are these", () => {
	expect(Object.keys(graph).sort()).toMatchInlineSnapshot(`
		[
		  "GraphBuilder",
		  "GraphError",
		  "abs",
		  "add",
		  "and",
		  "argMax",
		  "assumeShape",
		  "cast",
		  "concat",
		  "constantOfShape",
		  "cos",
		  "div",
		  "dynamicQuantizeLinear",
		  "equal",
		  "erf",
		  "exp",
		  "expand",
		  "fastGelu",
		  "float16Bits",
		  "fusedMatMul",
		  "gather",
		  "gatherBlockQuantized",
		  "gatherElements",
		  "gatherND",
		  "gelu",
		  "gemm",
		  "greater",
		  "greaterOrEqual",
		  "identity",
		  "layerNormalization",
		  "less",
		  "lessOrEqual",
		  "log",
		  "logSoftmax",
		  "matMul",
		  "matMulInteger",
		  "matMulIntegerToFloat",
		  "matMulNBits",
		  "max",
		  "min",
		  "mul",
		  "neg",
		  "not",
		  "or",
		  "pow",
		  "quantizeLinear",
		  "quickGelu",
		  "range",
		  "readGraph",
		  "reduceMax",
		  "reduceMean",
		  "reduceMin",
		  "reduceSum",
		  "relu",
		  "reshape",
		  "rotaryEmbedding",
		  "round",
		  "scatterElements",
		  "scatterND",
		  "shapeOf",
		  "shapeTensor",
		  "sigmoid",
		  "simplifiedLayerNormalization",
		  "sin",
		  "skipSimplifiedLayerNormalization",
		  "slice",
		  "softmax",
		  "split",
		  "sqrt",
		  "squeeze",
		  "sub",
		  "tanh",
		  "topK",
		  "transpose",
		  "unsqueeze",
		  "where",
		]
	`);
});

test("its error carries tok's marker and is told from other values", () => {
	const error = new graph.GraphError("Add: expected …");
	expect(error.message).toBe("[tok/graph] Add: expected …");
	expect(error).toMatchObject({ name: "GraphError", source: "graph", [Symbol.for("tok.error")]: true });
	expect(graph.GraphError.isInstance(error)).toBe(true);
	const others = [null, undefined, "graph", new Error("graph"), { source: "graph" }];
	for (const value of others) expect(graph.GraphError.isInstance(value)).toBe(false);
});
