/**
 * What a step feeds for recall: who chooses, among which blocks, and where the blocks lie. Each token chooses for
 * itself, as the likelihood of a text and a token that is generated need it: a later token must not choose for an
 * earlier one. Where nobody reads what is in between, a chunk shares one choice, by some of its tokens.
 */
import { MASKED, type SegmentView, segmentMask } from "@tok/kv-cache";
import type { Tensor } from "@tok/runtime";
import type { DecoderConfig } from "./decoder-config.ts";
import { decoderInputs } from "./decoder-inputs.ts";
import { headCounts, type Recall } from "./graph-segments.ts";
import { narrowIntegers } from "./host-tensors.ts";
import { type KeptRow, keptFeeds } from "./kept-feeds.ts";

/** "each": every token for itself. "shared": one choice for all tokens of the step. */
export type Choosing = "each" | "shared";

/** Tokens of a chunk, spread over it with the last among them, that make a shared choice. */
const VOTERS = 8;

export interface ChoiceStep {
	/** The archive as each row of the batch sees it, and what the row goes on with; undefined for a row that nobody reads. */
	readonly rows: readonly (KeptRow | undefined)[];
	readonly tokens: number;
	/** Of the buffers. */
	readonly slots: number;
	readonly choosing: Choosing;
}

export class ChoiceFeeds {
	readonly #recall: Recall;
	readonly #headDim: number;
	/** Where blocks lie, by rows of the batch and slots: the same from step to step. */
	readonly #places = new Map<string, Record<string, Tensor>>();

	constructor(recall: Recall, { headDim }: DecoderConfig) {
		this.#recall = recall;
		this.#headDim = headDim;
	}

	of({ rows, tokens, slots, choosing }: ChoiceStep): Record<string, Tensor> {
		const each = choosing === "each";
		const made = each ? this.#makers(rows, tokens) : [0];
		const voters = each ? made : spread(tokens, VOTERS);
		const blocks = slots / this.#recall.blockSize;
		const size = made.length * blocks;
		const mask = new Float32Array(rows.length * size).fill(MASKED);
		rows.forEach((row, i) => {
			if (row !== undefined) this.#fillMask(row.view, mask.subarray(i * size, (i + 1) * size), made, slots);
		});
		const dims = [rows.length, 1, made.length, blocks];
		return {
			...this.#placesOf(rows.length, blocks),
			...(this.#recall.keeps && keptFeeds(rows, { tokens: each ? tokens : 1, made, slots }, this.#recall)),
			[decoderInputs.voters]: narrowIntegers([made.length, each ? 1 : voters.length], voters),
			[decoderInputs.blockMask]: { dtype: "float32", dims, data: mask },
		};
	}

	#placesOf(batch: number, blocks: number): Record<string, Tensor> {
		const name = `${batch}.${blocks}`;
		const known = this.#places.get(name);
		if (known !== undefined) return known;
		const places: Record<string, Tensor> = {
			[decoderInputs.blockNumbers]: narrowIntegers([blocks], [...Array(blocks).keys()]),
		};
		for (const heads of headCounts(this.#recall.parts)) {
			const rows = Array.from({ length: batch * heads }, (_, head) => head * blocks);
			const channels = rows.flatMap((row) =>
				Array.from({ length: this.#headDim }, (_, d) => row * this.#headDim + d * blocks),
			);
			places[decoderInputs.valueRows(heads)] = narrowIntegers([batch, heads, 1, 1], rows);
			places[decoderInputs.keyRows(heads)] = narrowIntegers([batch, heads, 1, this.#headDim, 1], channels);
		}
		this.#places.set(name, places);
		return places;
	}

	/** Tokens that choose in some row; one that does not, whose choice none picks, where a step cannot do without. */
	#makers(rows: ChoiceStep["rows"], tokens: number): readonly number[] {
		const { keeps, leastMade } = this.#recall;
		const all = [...Array(tokens).keys()];
		if (!keeps) return all;
		const makers = all.filter((token) => rows.some((row) => row?.choosers.made.includes(token)));
		return makers.length < leastMade ? [0] : makers;
	}

	/** Of the tokens that choose. A shared choice takes what the first token sees, and so every other. */
	#fillMask(view: SegmentView, out: Float32Array, made: readonly number[], slots: number): void {
		const of = (all: Float64Array): Float64Array => Float64Array.from(made, (token) => all[token] as number);
		const choosing = {
			...view,
			visibleFrom: of(view.visibleFrom),
			visibleTo: of(view.visibleTo),
			queryPositions: of(view.queryPositions),
		};
		segmentMask(choosing, out, { block: this.#recall.blockSize, slots });
	}
}

function spread(tokens: number, most: number): number[] {
	const count = Math.min(tokens, most);
	return Array.from({ length: count }, (_, i) => Math.round(((i + 1) * tokens) / count) - 1);
}
