/**
 * Adds up what a stream's tokens recall: per block of the archive and head, the attention that fell on it. One row per
 * block of the buffers, so what it holds is bounded by the policy, whatever the stream's length; a block that is
 * overwritten takes its count with it.
 */
import type { SegmentView } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import type { ArchiveLayout } from "./archive-layout.ts";
import { blockAt } from "./held-choice.ts";

/** What one session's row of a run recalled. */
export interface Recalled {
	/** [heads that remember, choices, blocks]: blocks of the buffers. */
	readonly blocks: Int32Array;
	/** Of the same shape: attention on each of them, summed over the query heads of a group. */
	readonly mass: Float32Array;
}

/** A block of the archive and what of the tokens' attention fell on it. */
export interface DrawnBlock {
	/** Its entries are [block · blockSize, (block + 1) · blockSize). */
	readonly block: number;
	/** [heads that remember] Mean share of the attention of a query head of theirs, 0 to 1. */
	readonly shares: Float64Array;
}

export interface TallyOptions {
	readonly archive: ArchiveLayout;
	/** Key/value heads that remember, in all layers. */
	readonly heads: number;
	/** Query heads of each. */
	readonly group: number;
}

/** What a tally holds, to go on from elsewhere. */
export interface TallySnapshot {
	readonly tokens: number;
	/** Blocks of the buffers. */
	readonly places: number;
	/** Those that were recalled. */
	readonly blocks: readonly number[];
	/** [blocks, heads] */
	readonly mass: Float64Array;
}

export class RecallTally {
	readonly #options: TallyOptions;
	/** [blocks of the buffers] The block that lies there, or NaN when none was recalled. */
	#owners: Float64Array<ArrayBuffer> = new Float64Array(0);
	/** [blocks of the buffers, heads] */
	#mass: Float64Array<ArrayBuffer> = new Float64Array(0);
	#tokens = 0;
	#counting = false;

	constructor(options: TallyOptions) {
		this.#options = options;
	}

	/** Forgets everything, and counts from here on. */
	begin(): void {
		this.#owners.fill(Number.NaN);
		this.#mass.fill(0);
		this.#tokens = 0;
		this.#counting = true;
	}

	/** Counts no more. */
	end(): void {
		this.#counting = false;
	}

	/** Takes note of one token, which made choice `row` of a run, for itself alone. */
	add({ blocks, mass }: Recalled, view: SegmentView, row: number): void {
		if (!this.#counting) return;
		const { heads, archive } = this.#options;
		const inBuffers = view.slots / archive.blockSize;
		const from = (view.visibleFrom[row] as number) / archive.blockSize;
		const end = (view.visibleTo[row] as number) / archive.blockSize;
		this.#grow(inBuffers);
		this.#tokens++;
		const choices = view.visibleFrom.length;
		const taken = blocks.length / (heads * choices);
		for (let head = 0; head < heads; head++) {
			for (let i = 0, at = (head * choices + row) * taken; i < taken; i++, at++) {
				const place = blocks[at] as number;
				const block = blockAt(place, from, inBuffers);
				const share = mass[at] as number;
				// A choice among fewer blocks than it takes names some that it does not see.
				if (block < end && share > 0) this.#count(place, block, head, share);
			}
		}
	}

	/** Two blocks take each other's places, in buffers of so many. */
	exchange(first: number, second: number, places: number): void {
		this.#grow(places);
		const { heads } = this.#options;
		const [a, b] = [first % places, second % places];
		const [knowsFirst, knowsSecond] = [this.#owners[a] === first, this.#owners[b] === second];
		this.#owners[a] = knowsSecond ? first : Number.NaN;
		this.#owners[b] = knowsFirst ? second : Number.NaN;
		const mass = this.#mass.slice(a * heads, (a + 1) * heads);
		this.#mass.copyWithin(a * heads, b * heads, (b + 1) * heads);
		this.#mass.set(mass, b * heads);
	}

	/** The blocks from `from` on that were recalled, in no order. */
	drawn(from: number): DrawnBlock[] {
		const { heads, group } = this.#options;
		const queries = group * Math.max(1, this.#tokens);
		const drawn: DrawnBlock[] = [];
		this.#owners.forEach((block, place) => {
			if (!(block >= from)) return;
			const shares = this.#mass.slice(place * heads, (place + 1) * heads).map((mass) => mass / queries);
			drawn.push({ block, shares });
		});
		return drawn;
	}

	snapshot(): TallySnapshot {
		const { heads } = this.#options;
		const places = [...this.#owners.keys()].filter((place) => !Number.isNaN(this.#owners[place]));
		const mass = new Float64Array(places.length * heads);
		places.forEach((place, i) => {
			mass.set(this.#mass.subarray(place * heads, (place + 1) * heads), i * heads);
		});
		const blocks = places.map((place) => this.#owners[place] as number);
		return { tokens: this.#tokens, places: this.#owners.length, blocks, mass };
	}

	/** Goes on from a snapshot. Throws when it is none of a session with `most` blocks in its buffers. */
	restore({ tokens, places, blocks, mass }: TallySnapshot, most: number): void {
		const { heads } = this.#options;
		const counts = [tokens, places, ...blocks].every((count) => Number.isSafeInteger(count) && count >= 0);
		const distinct = counts && new Set(blocks.map((block) => block % places)).size === blocks.length;
		if (!distinct || places > most || mass.length !== blocks.length * heads)
			throw new TokError(
				"lm",
				`snapshot: expected what ${heads} heads recalled of at most ${most} blocks, each in a place of its own, got ` +
					`${blocks.length} blocks in ${places} places and ${mass.length} shares. The file is not of this program's making.`,
			);
		this.#grow(places);
		this.#tokens = tokens;
		blocks.forEach((block, i) => {
			const place = block % places;
			this.#owners[place] = block;
			this.#mass.set(mass.subarray(i * heads, (i + 1) * heads), place * heads);
		});
	}

	#count(place: number, block: number, head: number, mass: number): void {
		const { heads } = this.#options;
		if (this.#owners[place] !== block) {
			this.#owners[place] = block;
			this.#mass.fill(0, place * heads, (place + 1) * heads);
		}
		const at = place * heads + head;
		this.#mass[at] = (this.#mass[at] as number) + mass;
	}

	/** Buffers grow while each block still lies in its first place, so rows stay what they are. */
	#grow(places: number): void {
		if (places <= this.#owners.length) return;
		const owners = new Float64Array(places).fill(Number.NaN);
		const mass = new Float64Array(places * this.#options.heads);
		owners.set(this.#owners);
		mass.set(this.#mass);
		this.#owners = owners;
		this.#mass = mass;
	}
}
