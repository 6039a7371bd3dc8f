/** What a step feeds of choices that hold for several tokens: those of before, and which of them each token goes on with. */
import { MASKED, type SegmentView } from "@tok/kv-cache";
import { headCount, type Tensor } from "@tok/runtime";
import { decoderInputs } from "./decoder-inputs.ts";
import type { Recall } from "./graph-segments.ts";
import { type Choosers, chooserOf, type HeldChoice } from "./held-choice.ts";
import { narrowIntegers } from "./host-tensors.ts";

/** One session's row of a batch. */
export interface KeptRow {
	readonly view: SegmentView;
	readonly choosers: Choosers;
	readonly held: HeldChoice | undefined;
}

/** @param made Tokens that choose in some row, ascending; `slots` those of the buffers. */
export function keptFeeds(
	rows: readonly (KeptRow | undefined)[],
	{
		tokens,
		made,
		slots,
	}: { readonly tokens: number; readonly made: readonly number[]; readonly slots: number },
	{ parts, blocks: taken, blockSize }: Recall,
): Record<string, Tensor> {
	const kept = rows.some((row) => row !== undefined && row.choosers.keeping > 0) ? 1 : 0;
	const each = headCount(parts) * kept * taken;
	const places: number[] = new Array<number>(rows.length * each).fill(0);
	const mask = new Float32Array(rows.length * each).fill(MASKED);
	// One in between is never picked.
	const options = kept + 1 + made.length;
	const pick = new Float32Array(rows.length * tokens * options);
	rows.forEach((row, i) => {
		if (row === undefined) {
			// It means nothing, but has to pick something.
			for (let token = 0; token < tokens; token++) pick[(i * tokens + token) * options] = 1;
			return;
		}
		const { view, choosers, held } = row;
		const first = (view.visibleFrom[0] as number) / blockSize;
		if (kept > 0)
			held?.blocks.forEach((block, j) => {
				if (block < first) return;
				places[i * each + j] = block % (slots / blockSize);
				mask[i * each + j] = 0;
			});
		for (let token = 0; token < tokens; token++) {
			const choice = token < choosers.keeping ? 0 : kept + 1 + made.indexOf(chooserOf(choosers, token));
			pick[(i * tokens + token) * options + choice] = 1;
		}
	});
	const dims = [rows.length, headCount(parts), kept, taken];
	return {
		[decoderInputs.keptBlocks]: narrowIntegers(dims, places),
		[decoderInputs.keptMask]: { dtype: "float32", dims, data: mask },
		[decoderInputs.pick]: { dtype: "float32", dims: [rows.length, 1, tokens, options], data: pick },
	};
}
