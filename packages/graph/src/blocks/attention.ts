/**
 * Attention over the segments of a bounded cache and the chunk's own keys, in one softmax.
 *
 * Cached keys were rotated once, when they were written. The query is rotated once per segment instead, to the
 * position from which that segment is to be seen (StreamingLLM's positions inside the cache, arXiv 2309.17453 §3.2,
 * without touching a key). The order of slots does not matter: masks say who sees what.
 */
import { add, mul } from "../ops/arithmetic.ts";
import { rotaryEmbedding } from "../ops/contrib.ts";
import { matMul } from "../ops/matmul.ts";
import { softmax } from "../ops/reduction.ts";
import { concat, expand, reshape, split, transpose } from "../ops/shape.ts";
import type { Dim, Value } from "../types.ts";

/** Cosines and sines, one row per token of the batch. */
export interface Rotation {
	readonly cos: Value<"float32">; // [batch · tokens, rotaryDim / 2]
	readonly sin: Value<"float32">;
	/** Row of each token. */
	readonly rows: Value<"int64">; // [batch, tokens]
	/** Dimensions of a head that rotate. */
	readonly rotaryDim: number;
	readonly pairing: "half" | "interleaved";
}

/** One segment of the cache, of one layer. */
export interface CachedSegment {
	readonly key: Value<"float32">; // [batch, kvHeads, headDim, slots], rotated
	readonly value: Value<"float32">; // [batch, kvHeads, slots, headDim]
	/** Rotates the query for this segment; absent in layers that do not rotate. */
	readonly rotation: Rotation | undefined;
}

export interface AttentionOptions {
	readonly query: Value<"float32">; // [batch, queryHeads, tokens, headDim]
	readonly key: Value<"float32">; // [batch, kvHeads, tokens, headDim]
	readonly value: Value<"float32">; // [batch, kvHeads, tokens, headDim]
	/** Rotates the fresh keys, and the query for them. */
	readonly rotation: Rotation | undefined;
	readonly segments: readonly CachedSegment[];
	/** 0 where a query sees an entry, −Infinity elsewhere; entries are the segments' slots, then the tokens. */
	readonly mask: Value<"float32">; // [batch, 1, tokens, entries]
	/** Multiplies query · key. */
	readonly scale: number;
	/** A learned logit per head that joins each softmax and whose weight is dropped (gpt-oss). */
	readonly sinks?: Value<"float32"> | undefined; // [queryHeads]
}

export interface AttentionOutput {
	readonly output: Value<"float32">; // [batch, queryHeads, tokens, headDim]
	/** The fresh keys as the cache keeps them, rotated. */
	readonly key: Value<"float32">; // [batch, kvHeads, tokens, headDim]
}

export function attention(options: AttentionOptions): AttentionOutput {
	const { query, key, value, rotation, segments, mask, scale, sinks } = options;
	const [batch, queryHeads, tokens, headDim] = query.shape as [Dim, number, Dim, number];
	const kvHeads = key.shape[1] as number;
	const freshKey = rotate(key, rotation);
	const scaled = mul(query, scale);
	const queries = new Map<Rotation | undefined, Value<"float32">>();
	const rotated = (by: Rotation | undefined): Value<"float32"> => {
		const known = queries.get(by);
		if (known !== undefined) return known;
		// The heads of a group are rows of one product with their common keys: [batch, kvHeads, group · tokens, headDim].
		const rows = reshape(rotate(scaled, by), [0, kvHeads, -1, headDim]);
		queries.set(by, rows);
		return rows;
	};
	const parts = [...segments, { key: transpose(freshKey, [0, 1, 3, 2]), value, rotation }];
	const scores = parts.map((part) => matMul(rotated(part.rotation), part.key)); // [batch, kvHeads, group · tokens, …]
	const entries = scores.map((score) => score.shape[3] as Dim);
	// From here on each head has rows of its own: [batch, queryHeads, tokens, entries].
	let logits = add(reshape(join(scores), [0, queryHeads, tokens, 0]), mask);
	if (sinks !== undefined) {
		const column = expand(reshape(sinks, [1, queryHeads, 1, 1]), [batch, queryHeads, tokens, 1]);
		logits = concat([logits, column], 3);
		entries.push(1);
	}
	const weights = reshape(softmax(logits, -1), [0, kvHeads, scores[0]?.shape[2] as Dim, 0]);
	const shares = entries.length === 1 ? [weights] : split(weights, entries, 3);
	const output = parts
		.map((part, index) => matMul(shares[index] as Value<"float32">, part.value))
		.reduce((sum, next) => add(sum, next)); // [batch, kvHeads, group · tokens, headDim]
	return { output: reshape(output, [0, queryHeads, tokens, headDim]), key: freshKey };
}

function rotate(x: Value<"float32">, rotation: Rotation | undefined): Value<"float32"> {
	if (rotation === undefined) return x;
	const { rows, cos, sin, rotaryDim, pairing } = rotation;
	return rotaryEmbedding(x, rows, cos, sin, { interleaved: pairing === "interleaved", rotaryDim });
}

function join(parts: readonly Value<"float32">[]): Value<"float32"> {
	const [only] = parts;
	return only !== undefined && parts.length === 1 ? only : concat(parts, 3);
}
