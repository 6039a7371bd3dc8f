/**
 * The attention that fell on what a window holds: for every entry, layer and key/value head the softmax weights of all
 * queries that saw it, its own token's among them, summed over the tokens and the query heads of the group. That is
 * H2O's measure of what a model uses (arXiv 2306.14048 §4). The graph sums a run's weights (`attentionMass` in
 * `decoder.ts`), this adds the runs up, one number per slot, so what it holds is bounded by the window.
 */
import type { Plan, SegmentView, Write } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";

/** What one session's row of a run attended to. Rows are sums over tokens: one of all of them, or one of each. */
export interface FallenAttention {
	/** [layers · kvHeads, rows, slots of the buffers] */
	readonly cached: Float32Array;
	/** [layers · kvHeads, rows, tokens] */
	readonly fresh: Float32Array;
}

/** Of which tokens of a run a graph sums the attention. */
export interface Counting {
	/** Those before it are left out. */
	readonly from: number;
	/** A sum for each, instead of one for all. */
	readonly apart: boolean;
}

/** What there is to go on from elsewhere. */
export interface MassSnapshot {
	/** [layers · kvHeads, slots] */
	readonly mass: Float64Array;
	/** Tokens that were forgotten after they had been counted, which are the next if they are read again. */
	readonly forgotten: readonly number[];
}

/** Tokens of a run that are read, and their sum among those of the run. */
interface CountedStep {
	/** Undefined where nothing was run. */
	readonly fallen: FallenAttention | undefined;
	readonly plan: Plan;
	/** The sum, which is also the first of the tokens in the run; of how many. */
	readonly row: number;
	readonly rows: number;
	/** Of the run's tokens: those that were written before, and those that are now. */
	readonly earlier: readonly Write[];
	readonly writes: readonly Write[];
}

export class AttentionMass {
	readonly #heads: number;
	#slots = 0;
	/** [heads, slots] */
	#mass: Float64Array<ArrayBuffer> = new Float64Array(0);
	/**
	 * What a token attended to stays counted when it is forgotten. So that a stream which is rewound and read again comes
	 * to the same place, the same tokens count no second time.
	 */
	#forgotten: readonly number[] = [];

	/** @param heads Key/value heads of all layers. */
	constructor(heads: number) {
		this.#heads = heads;
	}

	/** How many of the next tokens were counted already. Once one differs none after it was. */
	known(ids: readonly number[]): number {
		const other = ids.findIndex((id, i) => id !== this.#forgotten[i]);
		return other < 0 ? ids.length : other;
	}

	/** Takes note of what tokens attended to that are read. Called before they are committed. */
	count(ids: readonly number[], { fallen, plan, row, rows, earlier, writes }: CountedStep): void {
		const view = plan.segments.at(-1);
		if (fallen === undefined || view === undefined) return;
		const window = (writes: readonly Write[]): Write[] =>
			writes.filter(({ segment }) => segment === view.segment);
		const known = this.known(ids);
		if (known < ids.length) {
			this.#grow(view.slots);
			this.#add(fallen, { row, rows, known: row + known, earlier: window(earlier), written: window(writes) });
		}
		this.#forgotten = known === ids.length ? this.#forgotten.slice(known) : [];
	}

	/** Takes note that these tokens, the stream's last, are forgotten. */
	forget(ids: readonly number[]): void {
		this.#forgotten = [...ids, ...this.#forgotten];
	}

	/** @param known Tokens of the run, the first ones, that had been counted before it. */
	#add(
		{ cached, fresh }: FallenAttention,
		of: {
			readonly row: number;
			readonly rows: number;
			readonly known: number;
			readonly earlier: readonly Write[];
			readonly written: readonly Write[];
		},
	): void {
		const { row, rows, known, earlier, written } = of;
		const slots = this.#slots;
		const columns = cached.length / (this.#heads * rows);
		const tokens = fresh.length / (this.#heads * rows);
		for (let head = 0; head < this.#heads; head++) {
			const mass = this.#mass.subarray(head * slots, (head + 1) * slots);
			const fell = cached.subarray((head * rows + row) * columns, (head * rows + row + 1) * columns);
			// The run may have had fewer slots than its rows are written to, or more, as a batch has.
			const both = Math.min(slots, columns);
			for (let slot = 0; slot < both; slot++) mass[slot] = (mass[slot] as number) + (fell[slot] as number);
			const own = fresh.subarray((head * rows + row) * tokens, (head * rows + row + 1) * tokens);
			for (const [writes, isNew] of [
				[earlier, false],
				[written, true],
			] as const)
				for (const { row: first, slot, length } of writes)
					for (let i = 0; i < length; i++) {
						// What lay there has left, unless it is the same token again.
						const before = isNew && first + i >= known ? 0 : (mass[slot + i] as number);
						mass[slot + i] = before + (own[first + i] as number);
					}
		}
	}

	/** Of entries that lie in consecutive places of the ring, [count]. */
	of(head: number, first: number, count: number): Float64Array {
		const slots = this.#slots;
		return Float64Array.from(
			{ length: count },
			(_, i) => this.#mass[head * slots + ((first + i) % slots)] as number,
		);
	}

	snapshot(): MassSnapshot {
		return { mass: this.#mass.slice(), forgotten: this.#forgotten };
	}

	/** Goes on from a snapshot. Throws when it is none of a window with `most` slots. */
	restore({ mass, forgotten }: MassSnapshot, most: number): void {
		const slots = mass.length / this.#heads;
		if (!Number.isInteger(slots) || slots > most || !mass.every((value) => value >= 0))
			throw new TokError(
				"lm",
				`snapshot: expected the attention of ${this.#heads} heads on at most ${most} slots, got ${mass.length} ` +
					"numbers. The file is not of this program's making.",
			);
		this.#slots = slots;
		this.#mass = mass.slice();
		this.#forgotten = forgotten;
	}

	/** Buffers grow while each entry still lies in its first slot, so places stay what they are. */
	#grow(slots: number): void {
		if (slots <= this.#slots) return;
		const mass = new Float64Array(this.#heads * slots);
		for (let head = 0; head < this.#heads; head++)
			mass.set(this.#mass.subarray(head * this.#slots, (head + 1) * this.#slots), head * slots);
		this.#mass = mass;
		this.#slots = slots;
	}
}

/**
 * Tokens of a chunk until one sends on what the chunk has attended to: groups leave before it runs, when the attention
 * of its own tokens is not known yet. The first may: what it sends on leaves as it would alone.
 */
export function tokensCounted({ visibleTo, cached }: SegmentView): number {
	for (let row = 1; row < visibleTo.length; row++)
		if ((visibleTo[row + 1] ?? cached.end) > (visibleTo[row] as number)) return row;
	return visibleTo.length;
}
