/** Token embeddings, and the head that turns hidden states back into logits, with the table dense or in blocks. */
import { gather } from "../ops/indexing.ts";
import { gatherBlockQuantized } from "../ops/quantised.ts";
import { reshape } from "../ops/shape.ts";
import type { Value } from "../types.ts";
import { type LinearWeight, linear } from "./linear.ts";
import { rmsNorm } from "./norm.ts";

/** Rows of the table for ids [batch, tokens] → [batch · tokens, hidden]. Its bias, if any, is not used. */
export function embedding(ids: Value<"int64">, table: LinearWeight): Value<"float32"> {
	const flat = reshape(ids, [-1]);
	if (table.kind === "dense") return gather(table.weight, flat, 0);
	const { codes, scales, bits, blockSize } = table;
	const [rows, blocks, bytes] = codes.shape as [number, number, number];
	return gatherBlockQuantized(reshape(codes, [rows, blocks * bytes]), flat, scales, { bits, blockSize });
}

export interface HeadOptions {
	/** The final norm's weight [hidden]. */
	readonly norm: Value<"float32">;
	readonly epsilon: number;
	/** [vocabulary, hidden] */
	readonly weight: LinearWeight;
}

/** Logits of the chosen rows alone: x [batch · tokens, hidden], rows int64 [n] → [n, vocabulary]. */
export function head(
	x: Value<"float32">,
	rows: Value<"int64">,
	{ norm, epsilon, weight }: HeadOptions,
): Value<"float32"> {
	return linear(rmsNorm(gather(x, rows, 0), norm, epsilon), weight);
}
