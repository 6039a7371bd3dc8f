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
import { integers } from "./host-tensors.ts";

/** "each": every token for itself. "shared": one choice for all tokens of the step. */
export type Choosing = "each" | "shared";

/** Tokens of a chunk, spread over it with the last among them, that make a shared choice. */
const VOTERS = 8;

export interface ChoiceStep {
	/** The archive as each row of the batch sees it; undefined for a row that nobody reads. */
	readonly views: readonly (SegmentView | undefined)[];
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

	of({ views, tokens, slots, choosing }: ChoiceStep): Record<string, Tensor> {
		const voters = choosing === "each" ? Array.from({ length: tokens }, (_, i) => i) : spread(tokens, VOTERS);
		const choices = choosing === "each" ? tokens : 1;
		const blocks = slots / this.#recall.blockSize;
		const mask = new Float32Array(views.length * choices * blocks).fill(MASKED);
		views.forEach((view, i) => {
			const own = mask.subarray(i * choices * blocks, (i + 1) * choices * blocks);
			if (view !== undefined) this.#fillMask(view, own, choices, slots);
		});
		const dims = [views.length, 1, choices, blocks];
		const visible = mask.map((value) => Number(value === 0));
		return {
			...this.#placesOf(views.length, blocks),
			[decoderInputs.voters]: integers([choices, voters.length / choices], voters),
			[decoderInputs.blockMask]: { dtype: "float32", dims, data: mask },
			[decoderInputs.visibleBlocks]: { dtype: "float32", dims, data: visible },
		};
	}

	#placesOf(batch: number, blocks: number): Record<string, Tensor> {
		const name = `${batch}.${blocks}`;
		const known = this.#places.get(name);
		if (known !== undefined) return known;
		const places: Record<string, Tensor> = {};
		for (const heads of headCounts(this.#recall.parts)) {
			const rows = Array.from({ length: batch * heads }, (_, head) => head * blocks);
			const channels = rows.flatMap((row) =>
				Array.from({ length: this.#headDim }, (_, d) => row * this.#headDim + d * blocks),
			);
			places[decoderInputs.valueRows(heads)] = integers([batch, heads, 1, 1], rows);
			places[decoderInputs.keyRows(heads)] = integers([batch, heads, 1, this.#headDim, 1], channels);
		}
		this.#places.set(name, places);
		return places;
	}

	/** A shared choice takes what the first token sees, and so every other. */
	#fillMask(view: SegmentView, out: Float32Array, choices: number, slots: number): void {
		const first = {
			...view,
			visibleFrom: view.visibleFrom.subarray(0, choices),
			visibleTo: view.visibleTo.subarray(0, choices),
			queryPositions: view.queryPositions.subarray(0, choices),
		};
		segmentMask(first, out, { block: this.#recall.blockSize, slots });
	}
}

function spread(tokens: number, most: number): number[] {
	const count = Math.min(tokens, most);
	return Array.from({ length: count }, (_, i) => Math.round(((i + 1) * tokens) / count) - 1);
}
