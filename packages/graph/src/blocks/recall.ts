/**
 * Recall: of an archive of blocks, every choice takes those on which its queries' own attention falls most, per
 * key/value head. On a model that was not trained for it, as InfLLM's (arXiv 2402.04617 §3.2), but with the softmax
 * mass of the un-rotated query over all archived un-rotated keys as the score, and all recalled keys at one distance.
 *
 * A choice is made for `span` queries in a row, by some of them, its voters: each token chooses for itself with a span
 * of 1; a prompt's chunk may share one choice. Choices may also be kept: then some are made here, none of them in a step
 * that keeps all, and each place picks one that is made or one that comes from a step before.
 */
import { add, min, mul } from "../ops/arithmetic.ts";
import { cast } from "../ops/comparison.ts";
import { gather, topK } from "../ops/indexing.ts";
import { matMul } from "../ops/matmul.ts";
import { reduceSum, softmax } from "../ops/reduction.ts";
import { concat, expand, reshape, split, transpose, unsqueeze } from "../ops/shape.ts";
import type { Dim, DType, Value } from "../types.ts";
import type { Rotation } from "./attention.ts";
import { isCoded, type Stored, scoresOf } from "./coded.ts";

/** Choices of steps before, and who goes on with them. */
export interface KeptChoices {
	readonly blocks: Value<"int32">; // [batch, heads, kept, blocks that a choice takes]
	/** MASKED where there is none. */
	readonly mask: Value<"float32">; // [batch, heads, kept, blocks that a choice takes], 0 or MASKED
	/** 1 for the one that a place picks: of those that are kept, a spare one that none picks, and those that are made. */
	readonly pick: Value<"float32">; // [batch, 1, choices, kept + 1 + made]
}

/** Who chooses, and among what. The same for every layer that remembers in as many heads. */
export interface RecallChoices {
	/** Tokens whose queries choose. Without kept choices as many are made as there are choices. */
	readonly voters: Value<"int32">; // [made, voters]
	/** 0 where a choice may take a block, MASKED elsewhere. */
	readonly mask: Value<"float32">; // [batch, 1, made, blocks]
	/** 0, 1, 2, …: what a block is called. */
	readonly numbers: Value<"int32">; // [blocks]
	/** ((sequence · heads + head) · headDim + d) · blocks: where a channel's blocks begin. */
	readonly keyRows: Value<"int32">; // [batch, heads, 1, headDim, 1]
	/** (sequence · heads + head) · blocks: where a head's blocks begin. */
	readonly valueRows: Value<"int32">; // [batch, heads, 1, 1]
}

/** One layer's archive. */
export interface RecalledSegment {
	/** Key/value heads that remember, ascending; the others see nothing of it. */
	readonly heads: readonly number[];
	readonly key: Stored; // [batch, heads, 1, headDim, blocks · blockSize], at position 0; scale [batch, heads, 1, 1, …]
	readonly value: Stored; // [batch, heads, 1, blocks · blockSize, headDim]; scale [batch, heads, 1, …, 1]
	/** Rotates the query to the distance of all recalled entries; absent in layers that do not rotate. */
	readonly rotation: Rotation | undefined;
	readonly blockSize: number;
	/** Blocks that a choice takes. */
	readonly blocks: number;
	/** Whether the rotated queries choose, and not those before rotation. Defaults to false. */
	readonly rotatedChoose?: boolean;
	/** What rotation multiplies a query by besides (yarn's attention factor). Defaults to 1. */
	readonly gain?: number;
	readonly choices: RecallChoices;
	/** Defaults to none: each place has the choice that is made for it. */
	readonly kept?: KeptChoices | undefined;
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
	readonly blocks: Value<"int32">; // [batch, heads, choices, blocks]
	/** Softmax weight that fell on each of them, summed over a choice's queries and a group's heads. */
	readonly mass: Value<"float32">; // [batch, heads, choices, blocks]
}

/**
 * @param query un-rotated, [batch, kvHeads, group, tokens, headDim]
 * @param rotated the same at the segment's distance.
 */
export function recall(
	query: Value<"float32">,
	rotated: Value<"float32">,
	segment: RecalledSegment,
): Recalled {
	const { key, value, blockSize, blocks, choices, kept, rotatedChoose = false } = segment;
	const kvHeads = query.shape[1] as number;
	const heads = ofHeads(segment.heads, kvHeads);
	const asking = heads.take(query);
	const [batch, remembering, group, tokens, headDim] = asking.shape as [Dim, number, number, Dim, number];
	const count = (kept === undefined ? choices.voters.shape[0] : kept.pick.shape[2]) as Dim;
	const entries = blocks * blockSize;
	const attending = heads.take(rotated);
	const made = rotatedChoose ? choose(attending, { ...segment, gain: 1 }) : choose(asking, segment);
	const chosen = kept === undefined ? made : picked(made, kept); // [batch, heads, choices, blocks]

	const places = add(choices.valueRows, chosen.indices); // [batch, heads, choices, blocks]
	const keyPlaces = add(choices.keyRows, unsqueeze(chosen.indices, [3])); // [batch, heads, choices, headDim, blocks]
	/** Of each choice, its blocks' rows of `x`, each `width` numbers, as [batch, heads, choices, ...dims]. */
	const rows = <D extends DType>(
		x: Value<D>,
		at: Value<"int32">,
		width: number,
		dims: readonly Dim[],
	): Value<D> => reshape(gather(reshape(x, [-1, width]), at, 0), [batch, remembering, count, ...dims]);
	const perEntry = (scale: Value<"float32">): Value<"float32"> =>
		rows(scale, places, blockSize, [1, entries]);
	/** [batch, heads, group, tokens, n] → [batch, heads, choices, group · span, n], and back. */
	const byChoice = (x: Value<"float32">, width: number): Value<"float32"> => {
		const apart = transpose(reshape(x, [0, 0, 0, count, -1, width]), [0, 1, 3, 2, 4, 5]);
		return reshape(apart, [batch, remembering, count, -1, width]);
	};
	const byToken = (x: Value<"float32">, width: number): Value<"float32"> => {
		const apart = transpose(reshape(x, [0, 0, 0, group, -1, width]), [0, 1, 3, 2, 4, 5]);
		return reshape(apart, [batch, remembering, group, tokens, width]);
	};

	const turned = byChoice(attending, headDim);
	const products = isCoded(key)
		? mul(
				matMul(turned, cast(rows(key.codes, keyPlaces, blockSize, [headDim, entries]), "float32")),
				perEntry(key.scale),
			)
		: matMul(turned, rows(key, keyPlaces, blockSize, [headDim, entries])); // [batch, heads, choices, group · span, entries]
	// What TopK took although it is not visible came with MASKED.
	const mask = reshape(min(chosen.values, 0), [0, 0, 0, 1, blocks, 1]);
	const scores = reshape(add(reshape(products, [0, 0, 0, 0, blocks, blockSize]), mask), [
		0,
		0,
		0,
		0,
		entries,
	]);
	return {
		entries,
		scores: heads.give(byToken(scores, entries), MASKED),
		attend: (weights) => {
			const shares = byChoice(heads.take(weights), entries); // [batch, heads, choices, group · span, entries]
			const width = blockSize * headDim;
			const taken = isCoded(value)
				? matMul(
						mul(shares, perEntry(value.scale)),
						cast(rows(value.codes, places, width, [entries, headDim]), "float32"),
					)
				: matMul(shares, rows(value, places, width, [entries, headDim]));
			return {
				output: heads.give(byToken(taken, headDim), 0),
				blocks: chosen.indices,
				mass: reduceSum(reshape(shares, [0, 0, 0, 0, blocks, blockSize]), [3, 5]),
			};
		},
	};
}

/** As `MASKED` of @tok/kv-cache. */
const MASKED = -1e30;

interface HeadSelection {
	/** [batch, kvHeads, ...] → [batch, heads, ...] */
	take(x: Value<"float32">): Value<"float32">;
	/** The reverse, with a number wherever another head is. */
	give(x: Value<"float32">, otherwise: number): Value<"float32">;
}

function ofHeads(heads: readonly number[], kvHeads: number): HeadSelection {
	if (heads.length === kvHeads) return { take: (x) => x, give: (x) => x };
	return {
		take: (x) => gather(x, x.graph.ints(heads), 1),
		give(x, otherwise) {
			const [batch, , ...rest] = x.shape as [Dim, Dim, ...Dim[]];
			const parts = heads.length === 1 ? [x] : split(x, new Array<number>(heads.length).fill(1), 1);
			const other = expand(x.graph.scalar("float32", otherwise), [batch, 1, ...rest]);
			const whole = Array.from({ length: kvHeads }, (_, head) => parts[heads.indexOf(head)] ?? other);
			return concat(whole, 1);
		},
	};
}

interface Choices {
	/** Below 0 for blocks that are not in sight. */
	readonly values: Value<"float32">; // [batch, heads, choices, blocks]
	readonly indices: Value<"int32">; // [batch, heads, choices, blocks]
}

/** Each place's choice. A product with rows of a single 1 changes no number, and float32 holds every index there is. */
function picked(made: Choices, { blocks, mask, pick }: KeptChoices): Choices {
	const indices = cast(concat([blocks, made.indices], 2), "float32");
	return {
		values: matMul(pick, concat([mask, min(made.values, 0)], 2)),
		indices: cast(matMul(pick, indices), "int32"),
	};
}

/** The blocks with the most softmax mass, summed over a group's heads and a choice's voters. */
function choose(
	query: Value<"float32">, // [batch, heads, group, tokens, headDim]
	{ key, blockSize, blocks, gain = 1, choices, kept }: RecalledSegment,
): Choices {
	const [, heads, group, , headDim] = query.shape as [Dim, number, number, Dim, number];
	const { voters, mask, numbers } = choices;
	const each = voters.shape[1] as Dim;
	const all = mask.shape[3] as Dim;
	const voting = reshape(gather(query, voters, 3), [0, heads, group, -1, headDim]);
	const asking = gain === 1 ? voting : mul(voting, gain);
	const products = scoresOf(asking, key); // [batch, heads, group, made · voters, slots]
	// Before the softmax: beside an entry out of sight, which may score anything, those in sight could come to nothing.
	const seen = add(products, perEntry(mask, { each, blockSize, slots: products.shape[4] as Dim }));
	const weights = softmax(seen, -1);
	// The choices are what −1 stands for, as there may be none of them.
	const perBlock = reduceSum(reshape(weights, [0, 0, 0, -1, all, blockSize]), [5]);
	const byChoice = reshape(perBlock, [0, 0, 0, -1, each, all]); // [batch, heads, group, made, voters, blocks]
	const mass = reduceSum(byChoice, [2, 4]); // [batch, heads, made, blocks]
	const scores = add(mass, mask);
	if (kept === undefined) return best(scores, blocks, numbers);
	// onnxruntime 1.30's TopK divides by the number of rows and dies of none (SIGFPE): a spare one is always there. To go
	// when it takes tensors without elements, as every other operator here does.
	const spare = expand(query.graph.scalar("float32", 0), [query.shape[0] as Dim, heads, 1, all]);
	return best(concat([spare, scores], 2), blocks, numbers);
}

/** [batch, 1, made, blocks] → [batch, 1, 1, made · voters, slots]. The same in every layer: onnxruntime computes it once. */
function perEntry(
	mask: Value<"float32">,
	{ each, blockSize, slots }: { readonly each: Dim; readonly blockSize: number; readonly slots: Dim },
): Value<"float32"> {
	const repeated = expand(unsqueeze(mask, [3, 5]), [each, 1, blockSize]);
	return reshape(repeated, [0, 1, 1, -1, slots]);
}

/**
 * In int32, which the WebGPU provider counts in. Sums of int64, and a Cast of them, it leaves to the processor, with copies
 * there and back; to gather by them it can.
 */
function best(scores: Value<"float32">, blocks: number, numbers: RecallChoices["numbers"]): Choices {
	const { values, indices } = topK(scores, blocks);
	return { values, indices: gather(numbers, indices, 0) };
}
