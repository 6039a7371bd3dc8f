/**
 * onnxruntime's GroupQueryAttention (com.microsoft; docs/ContribOperators.md there) over packed queries, keys and values,
 * with a past that grows: it rotates, appends, and attends.
 */
import { cast, type GraphBuilder, gather, reduceSum, shapeOf, sub, type Value } from "@tok/graph";
import type { SourceModel } from "./read-weights.ts";

export interface Attended {
	readonly output: Value<"float32">; // [batch_size, tokens, queryHeads · headDim]
	readonly key: Value<"float32">; // [batch_size, kvHeads, total, headDim]
	readonly value: Value<"float32">;
}

/** Positions that can be rotated: more than a measurement has. */
const POSITIONS = 4096;

/** @returns A layer's attention over `packed` [batch_size, tokens, (queryHeads + 2 · kvHeads) · headDim]. */
export function groupQueryAttention(
	graph: GraphBuilder,
	{ info: { queryHeads, kvHeads, headDim }, ropeTheta }: SourceModel,
	mask: Value<"int64">, // [batch_size, total]
): (packed: Value<"float32">, layer: number) => Attended {
	const lengths = cast(sub(reduceSum(mask, [1]), 1), "int32"); // [batch]
	const total = cast(gather(shapeOf(mask), graph.scalar("int64", 1)), "int32"); // []
	const angles = rotaryTable(POSITIONS, headDim, ropeTheta);
	const [cos, sin] = (["cos", "sin"] as const).map((name) =>
		graph.constant(name, { dtype: "float32", dims: [POSITIONS, headDim / 2], data: angles[name] }),
	);
	const past = (name: string): Value<"float32"> =>
		graph.input(name, "float32", ["batch_size", kvHeads, "past", headDim]);
	return (packed, layer) => {
		const cached = [past(`past_key_values.${layer}.key`), past(`past_key_values.${layer}.value`)];
		const longer = { dtype: "float32", shape: ["batch_size", kvHeads, "total", headDim] } as const;
		const [output, key, value] = graph.node({
			op: "GroupQueryAttention",
			domain: "com.microsoft",
			inputs: [packed, undefined, undefined, ...cached, lengths, total, cos, sin],
			attributes: {
				num_heads: queryHeads,
				kv_num_heads: kvHeads,
				// The weights have scaled the queries.
				scale: { float: 1 },
				do_rotary: 1,
				// GGUF files of this architecture keep neighbours as pairs.
				rotary_interleaved: 1,
			},
			outputs: [{ dtype: "float32", shape: ["batch_size", "tokens", queryHeads * headDim] }, longer, longer],
		}) as Value<"float32">[];
		return { output, key, value } as Attended;
	};
}

/** Angle of a position and a pair: position · θ^(−2·pair / headDim), in float64. [positions, headDim / 2] */
export function rotaryTable(
	positions: number,
	headDim: number,
	theta: number,
): { readonly cos: Float32Array; readonly sin: Float32Array } {
	const pairs = headDim / 2;
	const cos = new Float32Array(positions * pairs);
	const sin = new Float32Array(positions * pairs);
	for (let position = 0; position < positions; position++)
		for (let pair = 0; pair < pairs; pair++) {
			const angle = position * theta ** (-pair / pairs);
			cos[position * pairs + pair] = Math.cos(angle);
			sin[position * pairs + pair] = Math.sin(angle);
		}
	return { cos, sin };
}
