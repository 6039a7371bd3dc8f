/**
 * What a session knows of each block of an archive that the least recalled leave: its tokens, and how often it has been
 * recalled. By the blocks' numbers on arrival (kv-cache SPEC K41), since they change places.
 *
 * A block is recalled once by each key/value head and token in whose sight it comes, and once by a prompt's chunk, which
 * shares one choice. Counts tell more here than the attention that fell, of which a few heads give most, always and to
 * whatever is there (docs/memory.md). They fade: when a share of the blocks leaves, all others lose this share of theirs,
 * so what counts is about as long ago as the archive is large.
 */
import type { Range, SegmentView } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import type { ArchiveLayout } from "./archive-layout.ts";
import { blockAt } from "./held-choice.ts";
import type { Recalled } from "./recall-tally.ts";

/** In the order in which the blocks arrived. */
export interface BlocksSnapshot {
	/** [blocks · tokens of a block] */
	readonly ids: readonly number[];
	/** [blocks] */
	readonly recalls: readonly number[];
}

/** The tokens of the block with this number on arrival, as it arrives. */
export type TokensOf = (arrival: number) => readonly number[];

interface Block {
	readonly ids: readonly number[];
	readonly recalls: number;
}

export class ArchiveBlocks {
	readonly #layout: ArchiveLayout;
	/** Key/value heads that remember, in all layers. */
	readonly #heads: number;
	/** By number on arrival, ascending. */
	#blocks = new Map<number, Block>();

	/**
	 * @param arrivals Numbers on arrival of the blocks that the archive holds. Throws when there are not as many in the
	 * snapshot.
	 */
	constructor(
		layout: ArchiveLayout,
		heads: number,
		arrivals: readonly number[],
		{ ids, recalls }: BlocksSnapshot,
	) {
		this.#layout = layout;
		this.#heads = heads;
		const size = layout.blockSize * layout.tokensPerEntry;
		const valid = recalls.every((count) => Number.isFinite(count) && count >= 0);
		if (!valid || recalls.length !== arrivals.length || ids.length !== recalls.length * size)
			throw new TokError(
				"lm",
				`snapshot: expected the ${size} ids of each of ${arrivals.length} blocks and how often they were recalled, got ` +
					`${ids.length} ids and ${recalls.length} counts. The file is not of this program's making.`,
			);
		[...arrivals]
			.sort((a, b) => a - b)
			.forEach((arrival, i) => {
				this.#blocks.set(arrival, {
					ids: ids.slice(i * size, (i + 1) * size),
					recalls: recalls[i] as number,
				});
			});
	}

	/** `PlanOptions.recalled`. */
	readonly recalled = (arrival: number): number => this.#blocks.get(arrival)?.recalls ?? 0;

	/** Undefined for one that the archive does not hold. */
	ids(arrival: number): readonly number[] | undefined {
		return this.#blocks.get(arrival)?.ids;
	}

	snapshot(): BlocksSnapshot {
		const blocks = [...this.#blocks.values()];
		return { ids: blocks.flatMap(({ ids }) => ids), recalls: blocks.map(({ recalls }) => recalls) };
	}

	/**
	 * Follows tokens [start, end) of a run: what left before it, what was recalled, and what arrived with each.
	 *
	 * @param shared Whether all of the run's tokens made one choice, which is then the first one's.
	 */
	follow(
		view: SegmentView,
		{ start, end }: Range,
		recalled: Recalled | undefined,
		{ shared, tokensOf }: { readonly shared: boolean; readonly tokensOf: TokensOf },
	): void {
		if (start === 0) this.#keep(view);
		for (let row = start; row < end; row++) {
			if (recalled !== undefined && (row === 0 || !shared)) this.#add(recalled, view, row, shared);
			this.#arrive(view, view.visibleTo[row + 1] ?? view.cached.end, tokensOf);
		}
	}

	/** Forgets blocks that have left. */
	#keep({ arrivals = [] }: SegmentView): void {
		const staying = new Set(arrivals);
		const held = this.#blocks.size;
		for (const arrival of this.#blocks.keys()) if (!staying.has(arrival)) this.#blocks.delete(arrival);
		const left = this.#blocks.size / held;
		if (!(left < 1)) return;
		for (const [arrival, { ids, recalls }] of this.#blocks)
			this.#blocks.set(arrival, { ids, recalls: recalls * left });
	}

	/** Blocks up to entry `end`. Of what arrives after others the number is the place. */
	#arrive({ cached, arrivals = [] }: SegmentView, end: number, tokensOf: TokensOf): void {
		const { blockSize } = this.#layout;
		const count = (end - cached.start) / blockSize;
		if (this.#blocks.size >= count) return;
		for (const arrival of arrivals.slice(this.#blocks.size, count))
			this.#blocks.set(arrival, { ids: tokensOf(arrival), recalls: 0 });
	}

	/** By the token that made choice `row`, or by all where one choice is shared. */
	#add({ blocks, mass }: Recalled, view: SegmentView, row: number, shared: boolean): void {
		const { blockSize } = this.#layout;
		const { arrivals = [], cached, visibleFrom, visibleTo, slots } = view;
		const choices = shared ? 1 : visibleFrom.length;
		const taken = blocks.length / (this.#heads * choices);
		const [from, end] = [(visibleFrom[row] as number) / blockSize, (visibleTo[row] as number) / blockSize];
		for (let head = 0; head < this.#heads; head++)
			for (let i = 0, at = (head * choices + row) * taken; i < taken; i++, at++) {
				const place = blockAt(blocks[at] as number, from, slots / blockSize);
				const arrival = arrivals[place - cached.start / blockSize] as number;
				const block = this.#blocks.get(arrival);
				// A choice among fewer blocks than it takes names some that it does not see.
				if (place < end && block !== undefined && (mass[at] as number) > 0)
					this.#blocks.set(arrival, { ...block, recalls: block.recalls + 1 });
			}
	}
}
