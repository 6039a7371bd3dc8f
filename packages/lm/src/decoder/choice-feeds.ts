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

/** "each": every token for itself. "shared": one choice for all tokens of the step. */
export type Choosing = "each" | "shared";

/** Tokens of a chunk, spread over it with the last among them, that make a shared choice. */
const VOTERS = 8;

export interface ChoiceStep {
	/** The archive as each row of the batch sees it; undefined for a row that nobody reads. */
	readonly views: readonly (SegmentView | undefined)[];
	readonly tokens: number;
	/** Blocks of the buffers. */
	readonly blocks: number;
	readonly recall: Recall;
	readonly choosing: Choosing;
}

export function choiceFeeds(step: ChoiceStep, { headDim }: DecoderConfig): Record<string, Tensor> {
	const { views, tokens, blocks, recall, choosing } = step;
	const voters = choosing === "each" ? Array.from({ length: tokens }, (_, i) => i) : spread(tokens, VOTERS);
	const choices = choosing === "each" ? tokens : 1;
	const mask = new Float32Array(views.length * choices * blocks).fill(MASKED);
	views.forEach((view, i) => {
		if (view !== undefined)
			fillMask(step, view, mask.subarray(i * choices * blocks, (i + 1) * choices * blocks), choices);
	});
	const batch = views.length;
	const dims = [batch, 1, choices, blocks];
	const feeds: Record<string, Tensor> = {
		[decoderInputs.voters]: integers([choices, voters.length / choices], voters),
		[decoderInputs.blockMask]: { dtype: "float32", dims, data: mask },
		[decoderInputs.visibleBlocks]: { dtype: "float32", dims, data: mask.map((value) => Number(value === 0)) },
	};
	for (const heads of headCounts(recall.parts)) {
		const rows = Array.from({ length: batch * heads }, (_, head) => head * blocks);
		const channels = rows.flatMap((row) =>
			Array.from({ length: headDim }, (_, d) => row * headDim + d * blocks),
		);
		feeds[decoderInputs.valueRows(heads)] = integers([batch, heads, 1, 1], rows);
		feeds[decoderInputs.keyRows(heads)] = integers([batch, heads, 1, headDim, 1], channels);
	}
	return feeds;
}

/** A shared choice takes what the first token sees, and so every other. */
function fillMask(
	{ blocks, recall: { blockSize } }: ChoiceStep,
	view: SegmentView,
	out: Float32Array,
	choices: number,
): void {
	const first = {
		...view,
		visibleFrom: view.visibleFrom.subarray(0, choices),
		visibleTo: view.visibleTo.subarray(0, choices),
		queryPositions: view.queryPositions.subarray(0, choices),
	};
	segmentMask(first, out, { block: blockSize, slots: blocks * blockSize });
}

function spread(tokens: number, most: number): number[] {
	const count = Math.min(tokens, most);
	return Array.from({ length: count }, (_, i) => Math.round(((i + 1) * tokens) / count) - 1);
}

function integers(dims: readonly number[], values: readonly number[]): Tensor<"int64"> {
	return { dtype: "int64", dims, data: BigInt64Array.from(values, BigInt) };
}
