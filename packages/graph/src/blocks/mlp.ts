/** Gated MLPs (GLU variants, arXiv 2002.05202): down(activation(gate(x)) ⊙ up(x)). */
import { mul, sigmoid } from "../ops/arithmetic.ts";
import { fastGelu } from "../ops/contrib.ts";
import { split } from "../ops/shape.ts";
import type { Value } from "../types.ts";
import { type LinearWeight, linear } from "./linear.ts";

export interface GatedMlpOptions {
	/** [2 · inner, in]: the gate's rows, then up's. They share their input, so they are one product. */
	readonly gateUp: LinearWeight;
	/** [out, inner] */
	readonly down: LinearWeight;
	/** "gelu" is the tanh approximation. */
	readonly activation: "silu" | "gelu";
}

/** x [rows, in] → [rows, out]. */
export function gatedMlp(
	x: Value<"float32">,
	{ gateUp, down, activation }: GatedMlpOptions,
): Value<"float32"> {
	const [gate, up] = split(linear(x, gateUp), 2, -1) as [Value<"float32">, Value<"float32">];
	return linear(mul(activate(gate, activation), up), down);
}

function activate(x: Value<"float32">, activation: "silu" | "gelu"): Value<"float32"> {
	return activation === "gelu" ? fastGelu(x) : mul(x, sigmoid(x));
}
