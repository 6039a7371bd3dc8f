/**
 * A choice of blocks that holds for several tokens (`every` of a memory segment): the token that made it and the blocks,
 * as entries count them, so that it means the same when buffers have grown or a block has been overwritten.
 */
import type { Exchange, SegmentView } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import type { ArchiveLayout } from "./archive-layout.ts";
import type { Recalled } from "./recall-tally.ts";

export interface HeldChoice {
	/** Index in the stream of the token that chose. */
	readonly at: number;
	/** [heads that remember, blocks]; −1 for none. */
	readonly blocks: readonly number[];
}

/** Of a step's tokens that choose for themselves or go on with a choice: those that choose. */
export interface Choosers {
	/** The first tokens, which go on with what was chosen before the step. */
	readonly keeping: number;
	/** Tokens that choose, ascending. */
	readonly made: readonly number[];
}

/** @param held What holds when the first of the tokens is read, which is the stream's token `from`. */
export function choosersOf(
	held: HeldChoice | undefined,
	from: number,
	tokens: number,
	every: number,
): Choosers {
	const left = held === undefined ? 0 : Math.max(0, held.at + every - from);
	const keeping = Math.min(left, tokens);
	const made: number[] = [];
	for (let token = keeping; token < tokens; token += every) made.push(token);
	return { keeping, made };
}

/** The token that chose for token `row`; 0 for one that keeps a choice of before, which meets what the first one does. */
export function chooserOf({ made }: Choosers, row: number): number {
	return made.findLast((token) => token <= row) ?? 0;
}

/**
 * Tokens until one no longer sees what its chooser did: a block that was dropped meanwhile is out of its sight, and a
 * choice is masked as a whole.
 */
export function tokensAlike({ visibleFrom }: SegmentView, choosers: Choosers): number {
	const other = visibleFrom.findIndex((from, row) => from !== visibleFrom[chooserOf(choosers, row)]);
	return other < 0 ? visibleFrom.length : other;
}

/** What token `row` of a run has chosen, as the stream's token `at`. */
export function heldBy(
	{ blocks }: Recalled,
	view: SegmentView,
	{ row, at, heads }: { readonly row: number; readonly at: number; readonly heads: number },
	{ blockSize }: ArchiveLayout,
): HeldChoice {
	const choices = view.visibleFrom.length;
	const taken = blocks.length / (heads * choices);
	const places = view.slots / blockSize;
	const from = (view.visibleFrom[row] as number) / blockSize;
	const end = (view.visibleTo[row] as number) / blockSize;
	const held: number[] = [];
	for (let head = 0; head < heads; head++)
		for (let i = 0; i < taken; i++) {
			const block = blockAt(blocks[(head * choices + row) * taken + i] as number, from, places);
			held.push(block < end ? block : -1);
		}
	return { at, blocks: held };
}

/** A choice once two blocks have changed places. */
export function relocated(
	{ at, blocks }: HeldChoice,
	{ entries, others }: Exchange,
	{ blockSize }: ArchiveLayout,
): HeldChoice {
	const [a, b] = [entries.start / blockSize, others.start / blockSize];
	return { at, blocks: blocks.map((block) => (block === a ? b : block === b ? a : block)) };
}

/** The one block from `from` on that lies in a place of the buffers. */
export function blockAt(place: number, from: number, places: number): number {
	return from + ((((place - from) % places) + places) % places);
}

/** Throws unless it is a choice that so many heads of a stream of this length can have made. */
export function checkHeld(
	{ at, blocks }: HeldChoice,
	{ length, count }: { readonly length: number; readonly count: number },
): void {
	const valid =
		Number.isSafeInteger(at) &&
		at >= 0 &&
		at < length &&
		Array.isArray(blocks) &&
		blocks.length === count &&
		blocks.every((block) => Number.isSafeInteger(block) && block >= -1);
	if (!valid)
		throw new TokError(
			"lm",
			`snapshot: expected a choice of ${count} blocks by one of ${length} tokens, got ${blocks?.length} by token ${at}. ` +
				"The file is not of this program's making.",
		);
}
