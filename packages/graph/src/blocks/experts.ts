/**
 * A mixture of experts as gpt-oss has it (arXiv 2508.10925; its reference code for the clamped gate).
 *
 * Every expert computes every row, and the router's weights, zero for the experts that were not chosen, add them
 * up. That is exact and the same graph on every backend, at the price of the experts that were not needed.
 */
import { add, max, min, mul, sigmoid } from "../ops/arithmetic.ts";
import { scatterElements, topK } from "../ops/indexing.ts";
import { matMul } from "../ops/matmul.ts";
import { reduceSum, softmax } from "../ops/reduction.ts";
import { transpose, unsqueeze } from "../ops/shape.ts";
import type { Value } from "../types.ts";
import { type LinearWeight, linear } from "./linear.ts";

/** Bounds of the gate and of up, and the gate's slope, of the published model. */
const LIMIT = 7;
const SLOPE = 1.702;

export interface ExpertsOptions {
	/** Experts that each row is sent to. */
	readonly active: number;
	/** [experts, in] */
	readonly router: LinearWeight;
	/** [experts, in, inner] and bias [experts, 1, inner] */
	readonly gate: ExpertWeight;
	readonly up: ExpertWeight;
	/** [experts, inner, out] and bias [experts, 1, out] */
	readonly down: ExpertWeight;
}

export interface ExpertWeight {
	readonly weight: Value<"float32">;
	readonly bias: Value<"float32">;
}

/** x [rows, in] → [rows, out]. */
export function experts(
	x: Value<"float32">,
	{ active, router, gate, up, down }: ExpertsOptions,
): Value<"float32"> {
	const routes = linear(x, router); // [rows, experts]
	const best = topK(routes, active); // [rows, active]
	const chosen = scatterElements(mul(routes, 0), best.indices, softmax(best.values, -1), { axis: -1 });
	const each = unsqueeze(x, [0]); // [1, rows, in]
	const gated = min(project(each, gate), LIMIT); // [experts, rows, inner]
	const raised = max(min(project(each, up), LIMIT), -LIMIT);
	const hidden = mul(add(raised, 1), mul(gated, sigmoid(mul(gated, SLOPE))));
	const outputs = project(hidden, down); // [experts, rows, out]
	const weights = unsqueeze(transpose(chosen, [1, 0]), [2]); // [experts, rows, 1]
	return reduceSum(mul(outputs, weights), [0]);
}

function project(x: Value<"float32">, { weight, bias }: ExpertWeight): Value<"float32"> {
	return add(matMul(x, weight), bias);
}
