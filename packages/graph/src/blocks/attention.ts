/**
 * Attention over the segments of a bounded cache and the chunk's own keys, in one softmax.
 *
 * Cached keys were rotated once, when they were written. The query is rotated once per segment instead, to the
 * position from which that segment is to be seen (StreamingLLM's positions inside the cache, arXiv 2309.17453 §3.2,
 * without touching a key). The order of slots does not matter: masks say who sees what.
 */
import { add } from "../ops/arithmetic.ts";
import { rotaryEmbedding } from "../ops/contrib.ts";
import { softmax } from "../ops/reduction.ts";
import { concat, expand, reshape, split, transpose, unsqueeze } from "../ops/shape.ts";
import type { Dim, Value } from "../types.ts";
import { type Stored, scoresOf, weightedSum } from "./coded.ts";
import { type RecalledSegment, recall, type Traces } from "./recall.ts";

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

/** One segment of the cache, of one layer. The axis of length 1 is where the query heads of a group share a key. */
export interface CachedSegment {
	readonly key: Stored; // [batch, kvHeads, 1, headDim, slots], rotated
	readonly value: Stored; // [batch, kvHeads, 1, slots, headDim]
	/** Rotates the query for this segment; absent in layers that do not rotate. */
	readonly rotation: Rotation | undefined;
}

export interface AttentionOptions {
	/** Scaled already: no factor is applied to query · key. */
	readonly query: Value<"float32">; // [batch, queryHeads, tokens, headDim]
	readonly key: Value<"float32">; // [batch, kvHeads, tokens, headDim]
	readonly value: Value<"float32">; // [batch, kvHeads, tokens, headDim]
	/** Rotates the fresh keys, and the query for them. */
	readonly rotation: Rotation | undefined;
	readonly segments: readonly CachedSegment[];
	/** An archive, of which each choice's blocks join the same softmax. Defaults to none. */
	readonly archive?: RecalledSegment | undefined;
	/** 0 where a query sees an entry, −Infinity elsewhere; entries are the segments' slots, then the tokens. */
	readonly mask: Value<"float32">; // [batch, 1, 1, tokens, entries]
	/** A learned logit per head that joins each softmax and whose weight is dropped (gpt-oss). */
	readonly sinks?: Value<"float32"> | undefined; // [queryHeads]
}

export interface AttentionOutput {
	readonly output: Value<"float32">; // [batch, tokens, kvHeads, group, headDim]: all heads, in order
	/** The fresh keys as the cache keeps them, rotated. */
	readonly key: Value<"float32">; // [batch, kvHeads, tokens, headDim]
	/** Computed in any case: a graph that makes nothing of them is the same, byte for byte. */
	readonly weights: AttentionWeights;
	/** Present with an archive. */
	readonly recalled?: Traces;
}

/** The softmax over all that a query sees, ≥ 0 and 1 in all; exactly 0 where the mask hides an entry. */
export interface AttentionWeights {
	/** All parts side by side, in the order in which they follow here. */
	readonly joined: Value<"float32">; // [batch, kvHeads, group, tokens, entries + recalled entries + 1]
	/** On the slots of each segment. */
	readonly segments: readonly Value<"float32">[]; // [batch, kvHeads, group, tokens, slots]
	/** On the chunk's own tokens. */
	readonly fresh: Value<"float32">; // [batch, kvHeads, group, tokens, tokens]
	/** On the entries that each query's choice recalled, block after block as `Traces` names them. */
	readonly recalled?: Value<"float32">; // [batch, kvHeads, group, tokens, blocks · blockSize]
	/** On the learned sink, from which no value comes. */
	readonly sink?: Value<"float32">; // [batch, kvHeads, group, tokens, 1]
}

/**
 * With numbers every head has a product of its own: for a single token that is a vector times a matrix, which onnxruntime computes
 * where the cache lies. The heads of a group as rows of one product would have it repacked first, at twice the time.
 */
export function attention(options: AttentionOptions): AttentionOutput {
	const { query, key, value, rotation, segments, archive, mask, sinks } = options;
	const [batch, queryHeads, tokens, headDim] = query.shape as [Dim, number, Dim, number];
	const kvHeads = key.shape[1] as number;
	const group = queryHeads / kvHeads;
	const freshKey = rotate(key, rotation);
	const queries = new Map<Rotation | undefined, Value<"float32">>();
	const rotated = (by: Rotation | undefined): Value<"float32"> => {
		const known = queries.get(by);
		if (known !== undefined) return known;
		const grouped = reshape(rotate(query, by), [0, kvHeads, group, tokens, headDim]);
		queries.set(by, grouped);
		return grouped;
	};
	const fresh = {
		key: transpose(unsqueeze(freshKey, [2]), [0, 1, 2, 4, 3]), // [batch, kvHeads, 1, headDim, tokens]
		value: unsqueeze(value, [2]), // [batch, kvHeads, 1, tokens, headDim]
		rotation,
	};
	const parts: CachedSegment[] = [...segments, fresh];
	const scores = parts.map((part) => scoresOf(rotated(part.rotation), part.key)); // [batch, kvHeads, group, tokens, …]
	const entries = scores.map((score) => score.shape[4] as Dim);
	let logits = add(join(scores), mask); // [batch, kvHeads, group, tokens, entries]
	const recalled = archive && recall(rotated(undefined), rotated(archive.rotation), archive);
	if (recalled !== undefined) {
		logits = concat([logits, recalled.scores], 4);
		entries.push(recalled.entries);
	}
	if (sinks !== undefined) {
		const perHead = reshape(sinks, [1, kvHeads, group, 1, 1]);
		logits = concat([logits, expand(perHead, [batch, kvHeads, group, tokens, 1])], 4);
		entries.push(1);
	}
	const weights = softmax(logits, -1);
	const shares = entries.length === 1 ? [weights] : split(weights, entries, 4);
	const attended = parts.map((part, index) => weightedSum(shares[index] as Value<"float32">, part.value));
	const remembered = recalled?.attend(shares[parts.length] as Value<"float32">);
	if (remembered !== undefined) attended.push(remembered.output);
	const output = attended.reduce((sum, next) => add(sum, next)); // [batch, kvHeads, group, tokens, headDim]
	return {
		output: transpose(output, [0, 3, 1, 2, 4]),
		key: freshKey,
		weights: {
			joined: weights,
			segments: shares.slice(0, segments.length),
			fresh: shares[segments.length] as Value<"float32">,
			...(recalled !== undefined && { recalled: shares[parts.length] as Value<"float32"> }),
			...(sinks !== undefined && { sink: shares.at(-1) as Value<"float32"> }),
		},
		...(remembered !== undefined && { recalled: remembered }),
	};
}

function rotate(x: Value<"float32">, rotation: Rotation | undefined): Value<"float32"> {
	if (rotation === undefined) return x;
	const { rows, cos, sin, rotaryDim, pairing } = rotation;
	return rotaryEmbedding(x, rows, cos, sin, { interleaved: pairing === "interleaved", rotaryDim });
}

function join(parts: readonly Value<"float32">[]): Value<"float32"> {
	const [only] = parts;
	return only !== undefined && parts.length === 1 ? only : concat(parts, 4);
}
