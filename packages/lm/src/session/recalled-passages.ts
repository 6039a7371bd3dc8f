/**
 * From blocks that were recalled to passages that can be read. Blocks end where they do by counting, not by meaning, so
 * neighbours are one passage as long as about as much attention fell on them; else the few blocks that matter would
 * drown among all those on which a little fell.
 */

import type { ArchiveState } from "../decoder/archive-state.ts";
import type { DecoderState } from "../decoder/decoder-state.ts";
import type { DrawnBlock } from "../decoder/recall-tally.ts";
import type { RecalledPassage } from "../model.ts";
import type { SessionModel } from "./session-model.ts";

/** A block joins its neighbour's passage when it has at least this part of the attention of the passage's best. */
const ALIKE = 0.5;

/** See `Session.recalled`. */
export function recalledPassages(
	state: DecoderState,
	{ tokenizer }: SessionModel,
): readonly RecalledPassage[] {
	const { archive } = state;
	if (archive === undefined) return [];
	const { blockSize, origin, tokensPerEntry } = archive.layout;
	const { attached } = state.cache;
	// What came from elsewhere ends where the stream's own begins.
	const apart = (block: number): boolean => (block + 1) * blockSize === attached;
	return joinBlocks(archive.drawn(), apart).map(({ first, end, shares }) => {
		const entries = { start: first * blockSize, end: end * blockSize };
		const ids = state.archivedIds(entries);
		const own = entries.start >= attached;
		return {
			source: own ? "stream" : "archive",
			start: own ? origin + (entries.start - attached) * tokensPerEntry : entries.start,
			ids,
			text: tokenizer.decode(ids),
			...massOf(shares, archive.heads),
		};
	});
}

/** Blocks [first, end) of the archive. */
export interface BlockRange {
	readonly first: number;
	readonly end: number;
	/** [heads that remember] Mean share of the attention of a query head of theirs. */
	readonly shares: Float64Array;
}

/**
 * Joins neighbouring blocks into passages, the one with the most attention first. Every block is in one of them.
 *
 * @param apart Whether a passage may not go on from a block to the next.
 */
export function joinBlocks(drawn: readonly DrawnBlock[], apart: (block: number) => boolean): BlockRange[] {
	const left = new Map(drawn.map((each) => [each.block, each]));
	const ranges: BlockRange[] = [];
	for (const { block, shares } of [...drawn].sort((a, b) => total(b.shares) - total(a.shares))) {
		if (!left.delete(block)) continue;
		const least = ALIKE * total(shares);
		const sum = Float64Array.from(shares);
		const join = (neighbour: number): boolean => {
			const other = left.get(neighbour);
			if (other === undefined || total(other.shares) < least) return false;
			left.delete(neighbour);
			other.shares.forEach((share, i) => {
				sum[i] = (sum[i] as number) + share;
			});
			return true;
		};
		let [first, end] = [block, block + 1];
		while (!apart(first - 1) && join(first - 1)) first--;
		while (!apart(end - 1) && join(end)) end++;
		ranges.push({ first, end, shares: sum });
	}
	return ranges.sort((a, b) => total(b.shares) - total(a.shares));
}

/** The attention of a range, in the mean, layer by layer and head by head, the most first. */
function massOf(
	shares: Float64Array,
	memoryHeads: ArchiveState["heads"],
): Pick<RecalledPassage, "mass" | "layers" | "heads"> {
	const heads = memoryHeads.map((head, i) => ({ ...head, mass: shares[i] as number }));
	const byLayer = new Map<number, number[]>();
	for (const { layer, mass } of heads) byLayer.set(layer, [...(byLayer.get(layer) ?? []), mass]);
	const layers = [...byLayer].map(([layer, masses]) => ({ layer, mass: mean(masses) }));
	const most = <T extends { readonly mass: number }>(each: T[]): T[] => each.sort((a, b) => b.mass - a.mass);
	return { mass: mean([...shares]), layers: most(layers), heads: most(heads) };
}

function mean(values: readonly number[]): number {
	return values.reduce((sum, value) => sum + value, 0) / Math.max(1, values.length);
}

function total(shares: Float64Array): number {
	return shares.reduce((sum, share) => sum + share, 0);
}
