/**
 * What a session knows of its archive besides the entries: the choice of blocks that holds, what was recalled, how often,
 * and of which tokens the blocks are. It follows the plans and what their runs recalled; a `DecoderState` runs them.
 */
import type { Exchange, KvCache, Plan, Range } from "@tok/kv-cache";
import { ArchiveBlocks, type BlocksSnapshot } from "./archive-blocks.ts";
import type { ArchiveLayout } from "./archive-layout.ts";
import { type ArchiveExtent, archiveExtent } from "./archive-rows.ts";
import type { Recall } from "./graph-segments.ts";
import {
	type Choosers,
	checkHeld,
	chooserOf,
	choosersOf,
	type HeldChoice,
	heldBy,
	relocated,
	tokensAlike,
} from "./held-choice.ts";
import { type DrawnBlock, type Recalled, RecallTally, type TallySnapshot } from "./recall-tally.ts";

/** What there is to go on from elsewhere. */
export interface ArchiveSnapshot {
	/** What the last generation recalled. Defaults to nothing. */
	readonly recalled?: TallySnapshot | undefined;
	/** A choice that holds. Defaults to none. */
	readonly held?: HeldChoice | undefined;
	/** Of an archive that the least recalled blocks leave. Defaults to none. */
	readonly blocks?: BlocksSnapshot | undefined;
}

export interface ArchiveOptions {
	readonly layout: ArchiveLayout;
	readonly recall: Recall;
	/** Of the segment's buffers. */
	readonly slots: number;
	/** Query heads of a key/value head. */
	readonly group: number;
	/** The tokens with which the archive began. */
	readonly attached: readonly number[];
}

export class ArchiveState {
	readonly layout: ArchiveLayout;
	/** Heads that recall, in the order in which the graph reports them. */
	readonly heads: readonly { readonly layer: number; readonly head: number }[];
	/** What single tokens recall, while they are counted. */
	readonly tally: RecallTally;
	readonly #cache: KvCache;
	readonly #attached: readonly number[];
	/** The last choice, where choices hold for several tokens. */
	#held: HeldChoice | undefined;
	/** Where the least recalled leave. */
	readonly #blocks: ArchiveBlocks | undefined;

	/** Throws on a snapshot that is none of such an archive. */
	constructor(
		cache: KvCache,
		{ layout, recall, slots, group, attached }: ArchiveOptions,
		{ recalled, held, blocks = { ids: [], recalls: [] } }: ArchiveSnapshot,
	) {
		this.layout = layout;
		this.heads = recall.parts.flatMap(({ layer, heads }) => heads.map((head) => ({ layer, head })));
		this.#cache = cache;
		this.#attached = attached;
		const { length: heads } = this.heads;
		this.tally = new RecallTally({ archive: layout, heads, group });
		if (held !== undefined) checkHeld(held, { length: cache.length, count: heads * recall.blocks });
		this.#held = held;
		if (layout.chooses)
			this.#blocks = new ArchiveBlocks(layout, heads, cache.snapshot().arrivals ?? [], blocks);
		if (recalled !== undefined) this.tally.restore(recalled, slots / layout.blockSize);
	}

	snapshot(): ArchiveSnapshot {
		return { recalled: this.tally.snapshot(), held: this.#held, blocks: this.#blocks?.snapshot() };
	}

	/** How often a block has been recalled, by its number on arrival, where the least recalled leave. */
	readonly recalls = (arrival: number): number => this.#blocks?.recalled(arrival) ?? 0;

	/** What was recalled and is still here, by numbers on arrival, in no order. */
	drawn(): DrawnBlock[] {
		const { segment, blockSize } = this.layout;
		const { segments, arrivals } = this.#cache.snapshot();
		const first = (segments[segment]?.start ?? 0) / blockSize;
		return this.tally
			.drawn(first)
			.map(({ block, shares }) => ({ block: arrivals?.[block - first] ?? block, shares }));
	}

	/**
	 * The tokens of entries that it holds, or takes next, by where they arrive.
	 *
	 * @param tail The last tokens of the stream.
	 */
	ids({ start, end }: Range, tail: readonly number[]): readonly number[] {
		const { origin, tokensPerEntry, blockSize } = this.layout;
		if (this.#blocks !== undefined && end - start > blockSize) {
			const blocks = Array.from({ length: (end - start) / blockSize }, (_, i) => start + i * blockSize);
			return blocks.flatMap((entry) => this.ids({ start: entry, end: entry + blockSize }, tail));
		}
		const known = this.#blocks?.ids(start / blockSize);
		if (known !== undefined) return known;
		const attached = this.#attached;
		const first = this.#cache.length - tail.length;
		const place = (entry: number): number =>
			origin + Math.max(0, entry - attached.length) * tokensPerEntry - first;
		return [...attached.slice(start, end), ...tail.slice(place(start), place(end))];
	}

	/** What would leave with it; undefined when it cannot. */
	extent(): ArchiveExtent | undefined {
		return this.layout.portable ? archiveExtent(this.#cache, this.layout, this.recalls) : undefined;
	}

	/** The choice that holds; undefined where each token chooses for itself. */
	get held(): HeldChoice | undefined {
		return this.#held;
	}

	/** What has to change places before the next plan. */
	exchanges(): readonly Exchange[] {
		return this.#cache.exchanges(this.recalls);
	}

	/** Takes note that two blocks have changed places. */
	exchange(exchange: Exchange): void {
		this.#cache.exchange(exchange);
		const { segment, blockSize } = this.layout;
		const { entries, others } = exchange;
		const places = (this.#cache.slots()[segment] as number) / blockSize;
		this.tally.exchange(entries.start / blockSize, others.start / blockSize, places);
		this.#held &&= relocated(this.#held, exchange, this.layout);
	}

	/** Who chooses of the next tokens; undefined where each does. */
	choosers(tokens: number): Choosers | undefined {
		const { every } = this.layout;
		return every === 1 ? undefined : choosersOf(this.#held, this.#cache.length, tokens, every);
	}

	/** Tokens of a plan that see what their choosers saw. */
	alike(plan: Plan): number {
		const choosers = this.choosers(plan.read);
		const view = plan.segments[this.layout.segment];
		return choosers && view ? tokensAlike(view, choosers) : plan.read;
	}

	/**
	 * Takes note of what left before a run, and of what its tokens [start, end) recalled. Called before they are committed.
	 *
	 * @param shared Whether all of the run's tokens made one choice.
	 * @param tail The last tokens of the stream.
	 */
	follow(
		recalled: Recalled | undefined,
		plan: Plan,
		rows: Range,
		{ shared, tail }: { readonly shared: boolean; readonly tail: readonly number[] },
	): void {
		const { segment, blockSize } = this.layout;
		const view = plan.segments[segment];
		if (view === undefined || this.#blocks === undefined) return;
		const tokensOf = (arrival: number): readonly number[] =>
			this.ids({ start: arrival * blockSize, end: (arrival + 1) * blockSize }, tail);
		this.#blocks.follow(view, rows, recalled, { shared, tokensOf });
	}

	/** Holds what the chooser of token `row` of a run has chosen. Called before that token is committed. */
	hold(recalled: Recalled | undefined, plan: Plan, choosers: Choosers | undefined, row: number): void {
		const { segment, every } = this.layout;
		if (every === 1) return;
		const view = plan.segments[segment];
		// What a prompt's chunk shares is nobody's own.
		if (choosers === undefined || recalled === undefined || view === undefined) this.#held = undefined;
		else if (row >= choosers.keeping) {
			const chooser = chooserOf(choosers, row);
			const of = { row: chooser, at: plan.start + chooser, heads: this.heads.length };
			this.#held = heldBy(recalled, view, of, this.layout);
		}
	}

	/** Counts what token `row` of a run recalled, which chose for itself. */
	note(recalled: Recalled | undefined, plan: Plan, row: number): void {
		const view = plan.segments[this.layout.segment];
		if (recalled !== undefined && view !== undefined) this.tally.add(recalled, view, row);
	}

	/** Once tokens were forgotten. */
	rewound(): void {
		if (this.#held !== undefined && this.#held.at >= this.#cache.length) this.#held = undefined;
	}
}
