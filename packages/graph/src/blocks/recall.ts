/**
 * Recall: of an archive of blocks, every choice takes those on which its queries' own attention falls most, per
 * key/value head. On a model that was not trained for it, as InfLLM's (arXiv 2402.04617 §3.2), but with the softmax
 * mass of the un-rotated query over all archived un-rotated keys as the score, and all recalled keys at one distance.
 *
 * A choice is made for `span` queries in a row, by some of them, its voters: each token chooses for itself with a span
 * of 1; a prompt's chunk may share one choice.
 */
import { add, div, min, mul } from "../ops/arithmetic.ts";
import { gather, topK } from "../ops/indexing.ts";
import { matMul } from "../ops/matmul.ts";
import { reduceSum, softmax } from "../ops/reduction.ts";
import { reshape, transpose, unsqueeze } from "../ops/shape.ts";
import type { Dim, Value } from "../types.ts";
import type { Rotation } from "./attention.ts";

/** Who chooses, and among what. The same for every layer. */
export interface RecallChoices {
	/** Tokens whose queries choose. */
	readonly voters: Value<"int64">; // [choices, voters]
	/** 1 where a choice may take a block, 0 elsewhere. */
	readonly visible: Value<"float32">; // [batch, 1, choices, blocks]
	/** 0 where `visible` is 1, MASKED elsewhere. */
	readonly mask: Value<"float32">; // [batch, 1, choices, blocks]
	/** ((sequence · kvHeads + head) · headDim + d) · blocks: where a channel's blocks begin. */
	readonly keyRows: Value<"int64">; // [batch, kvHeads, 1, headDim, 1]
	/** (sequence · kvHeads + head) · blocks: where a head's blocks begin. */
	readonly valueRows: Value<"int64">; // [batch, kvHeads, 1, 1]
}

/** One layer's archive. */
export interface RecalledSegment {
	readonly key: Value<"float32">; // [batch, kvHeads, 1, headDim, blocks · blockSize], at position 0
	readonly value: Value<"float32">; // [batch, kvHeads, 1, blocks · blockSize, headDim]
	/** Rotates the query to the distance of all recalled entries; absent in layers that do not rotate. */
	readonly rotation: Rotation | undefined;
	readonly blockSize: number;
	/** Blocks that a choice takes. */
	readonly blocks: number;
	/** What rotation multiplies a query by besides (yarn's attention factor). Defaults to 1. */
	readonly gain?: number;
	readonly choices: RecallChoices;
}

/** What was recalled, as attention sees it: `entries` more of them behind the others. */
export interface Recalled {
	readonly entries: number; // blocks · blockSize
	readonly scores: Value<"float32">; // [batch, kvHeads, group, tokens, entries], masked
	/** What attention with these weights, of the scores' shape, takes from the archive. */
	attend(weights: Value<"float32">): Attended;
}

export interface Attended extends Traces {
	/** Σ weight · value. */
	readonly output: Value<"float32">; // [batch, kvHeads, group, tokens, headDim]
}

/** What was recalled, and how much came of it. */
export interface Traces {
	/** The blocks that each choice took. */
	readonly blocks: Value<"int64">; // [batch, kvHeads, choices, blocks]
	/** Softmax weight that fell on each of them, summed over a choice's queries and a group's heads. */
	readonly mass: Value<"float32">; // [batch, kvHeads, choices, blocks]
}

/** So that a choice among no blocks divides 0 by something. Far below any mass that float32 holds beside 1. */
const NOTHING = 1e-30;

/**
 * @param query un-rotated, [batch, kvHeads, group, tokens, headDim]
 * @param rotated the same at the segment's distance.
 */
export function recall(
	query: Value<"float32">,
	rotated: Value<"float32">,
	{ key, value, blockSize, blocks, gain = 1, choices }: RecalledSegment,
): Recalled {
	const [batch, kvHeads, group, tokens, headDim] = query.shape as [Dim, number, number, Dim, number];
	const count = choices.voters.shape[0] as Dim;
	const entries = blocks * blockSize;
	const chosen = choose(query, key, { blockSize, blocks, gain, choices }); // [batch, kvHeads, choices, blocks]

	const keys = gather(
		reshape(key, [-1, blockSize]),
		add(choices.keyRows, unsqueeze(chosen.indices, [3])), // [batch, kvHeads, choices, headDim, blocks]
		0,
	);
	const values = gather(reshape(value, [-1, blockSize * headDim]), add(choices.valueRows, chosen.indices), 0);
	/** [batch, kvHeads, group, tokens, n] → [batch, kvHeads, choices, group · span, n], and back. */
	const byChoice = (x: Value<"float32">, width: number): Value<"float32"> =>
		reshape(transpose(reshape(x, [0, 0, 0, count, -1, width]), [0, 1, 3, 2, 4, 5]), [
			batch,
			kvHeads,
			count,
			-1,
			width,
		]);
	const byToken = (x: Value<"float32">, width: number): Value<"float32"> =>
		reshape(transpose(reshape(x, [0, 0, 0, group, -1, width]), [0, 1, 3, 2, 4, 5]), [
			batch,
			kvHeads,
			group,
			tokens,
			width,
		]);
	const raw = matMul(byChoice(rotated, headDim), reshape(keys, [batch, kvHeads, count, headDim, entries]));
	// What TopK took although it is not visible came with MASKED.
	const mask = reshape(min(chosen.values, 0), [0, 0, 0, 1, blocks, 1]);
	const scores = reshape(add(reshape(raw, [0, 0, 0, 0, blocks, blockSize]), mask), [0, 0, 0, 0, entries]);
	return {
		entries,
		scores: byToken(scores, entries),
		attend: (weights) => {
			const shares = byChoice(weights, entries); // [batch, kvHeads, choices, group · span, entries]
			const taken = matMul(shares, reshape(values, [batch, kvHeads, count, entries, headDim]));
			return {
				output: byToken(taken, headDim),
				blocks: chosen.indices,
				mass: reduceSum(reshape(shares, [0, 0, 0, 0, blocks, blockSize]), [3, 5]),
			};
		},
	};
}

/** The blocks with the most softmax mass, summed over a group's heads and a choice's voters. */
function choose(
	query: Value<"float32">,
	key: Value<"float32">,
	{
		blockSize,
		blocks,
		gain,
		choices,
	}: Required<Pick<RecalledSegment, "blockSize" | "blocks" | "gain" | "choices">>,
): { readonly values: Value<"float32">; readonly indices: Value<"int64"> } {
	const [, kvHeads, group, , headDim] = query.shape as [Dim, number, number, Dim, number];
	const { voters, visible, mask } = choices;
	const [count, each] = voters.shape as [Dim, Dim];
	const voting = reshape(gather(query, voters, 3), [0, kvHeads, group, -1, headDim]);
	const asking = gain === 1 ? voting : mul(voting, gain);
	const weights = softmax(matMul(asking, key), -1); // [batch, kvHeads, group, choices · voters, slots]
	const perBlock = reduceSum(reshape(weights, [0, 0, 0, 0, -1, blockSize]), [5]);
	const byChoice = reshape(perBlock, [0, 0, 0, count, each, -1]); // [batch, kvHeads, group, choices, voters, blocks]
	// Entries out of sight took part in the softmax: each head's mass is what lies in sight, 1 in all.
	const inSight = mul(byChoice, unsqueeze(visible, [2, 4]));
	const whole = add(reduceSum(inSight, [5], { keepDims: true }), NOTHING);
	const mass = reduceSum(div(inSight, whole), [2, 4]); // [batch, kvHeads, choices, blocks]
	return topK(add(mass, mask), blocks);
}
