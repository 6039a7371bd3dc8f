/**
 * The keys, or the values, of one layer's heads in the slots of a segment: float32, or 8-bit codes with a scale for each
 * head and slot. Keys lie with their slots innermost, values with their dimensions (`kvNames`).
 */
import type { KvFormat } from "@tok/runtime";

export interface EntriesShape {
	readonly heads: number;
	readonly slots: number;
	readonly headDim: number;
	/** Whether the slots are innermost, as those of keys are. */
	readonly slotsInnermost: boolean;
}

/** The largest code. −128 is never used, so that a number and its opposite have opposite codes. */
const LARGEST = 127;

/** Of the rows that are being put. Kept, so that a write makes no garbage. */
let inverses = new Float64Array(1);

export class Entries {
	readonly shape: EntriesShape;
	readonly data: Float32Array | Int8Array;
	/** [heads, slots]; undefined for float32. */
	readonly scales: Float32Array | undefined;

	constructor(shape: EntriesShape, data: Float32Array | Int8Array, scales: Float32Array | undefined) {
		this.shape = shape;
		this.data = data;
		this.scales = scales;
	}

	/** Throws a RangeError when there is no memory for so many. */
	static zeros(shape: EntriesShape, format: KvFormat): Entries {
		const { heads, slots, headDim } = shape;
		const count = heads * slots * headDim;
		return format === "float32"
			? new Entries(shape, new Float32Array(count), undefined)
			: new Entries(shape, new Int8Array(count), new Float32Array(heads * slots));
	}

	/** Heads [from, to), in the same memory. */
	heads(from: number, to: number): Entries {
		const { slots, headDim } = this.shape;
		const size = slots * headDim;
		return new Entries(
			{ ...this.shape, heads: to - from },
			this.data.subarray(from * size, to * size),
			this.scales?.subarray(from * slots, to * slots),
		);
	}

	/** The same entries among more slots, in memory of their own. */
	grown(slots: number): Entries {
		const { heads, headDim, slotsInnermost } = this.shape;
		const larger = Entries.zeros({ ...this.shape, slots }, this.scales === undefined ? "float32" : "int8");
		copyStretches(this.data, larger.data, slotsInnermost ? heads * headDim : heads);
		if (this.scales !== undefined && larger.scales !== undefined)
			copyStretches(this.scales, larger.scales, heads);
		return larger;
	}

	clear(): void {
		this.data.fill(0);
		this.scales?.fill(0);
	}

	/** Fills the slots from `slot` on with the rows [length, headDim] of one head that begin at `rows[from]`. */
	put(head: number, slot: number, length: number, rows: Float32Array, from: number): void {
		const { slots, headDim, slotsInnermost } = this.shape;
		const { data, scales } = this;
		if (scales !== undefined) this.#putCodes(head, slot, length, rows, from);
		else if (slotsInnermost) {
			// Slot after slot: one row after the other would come back to the same few lines of the processor's cache.
			let target = head * headDim * slots + slot;
			for (let d = 0; d < headDim; d++, target += slots)
				for (let i = 0; i < length; i++) data[target + i] = rows[from + i * headDim + d] as number;
		} else {
			// Where `set` would need a view, which is garbage for every head of every step.
			const target = (head * slots + slot) * headDim;
			for (let i = 0; i < length * headDim; i++) data[target + i] = rows[from + i] as number;
		}
	}

	#putCodes(head: number, slot: number, length: number, rows: Float32Array, from: number): void {
		const { slots, headDim, slotsInnermost } = this.shape;
		const data = this.data as Int8Array;
		const inverse = this.#scale(head * slots + slot, length, rows, from);
		if (slotsInnermost) {
			let target = head * headDim * slots + slot;
			for (let d = 0; d < headDim; d++, target += slots)
				for (let i = 0; i < length; i++)
					data[target + i] = Math.round((rows[from + i * headDim + d] as number) * (inverse[i] as number));
		} else {
			const target = (head * slots + slot) * headDim;
			for (let i = 0, at = 0; i < length; i++)
				for (let d = 0; d < headDim; d++, at++)
					data[target + at] = Math.round((rows[from + at] as number) * (inverse[i] as number));
		}
	}

	/** Reads the slots from `slot` on of one head into the rows [length, headDim] that begin at `rows[from]`. */
	take(head: number, slot: number, length: number, rows: Float32Array, from: number): void {
		const { slots, headDim, slotsInnermost } = this.shape;
		const { data, scales } = this;
		const [step, apart] = slotsInnermost ? [1, slots] : [headDim, 1];
		for (let i = 0; i < length; i++) {
			const scale = scales === undefined ? 1 : (scales[head * slots + slot + i] as number);
			let source = head * slots * headDim + (slot + i) * step;
			for (let d = 0; d < headDim; d++, source += apart)
				rows[from + i * headDim + d] = (data[source] as number) * scale;
		}
	}

	/**
	 * Sets the scales from `at` on for the rows that begin at `rows[from]`. Returns what their numbers are multiplied by to be codes,
	 * until the next call.
	 */
	#scale(at: number, length: number, rows: Float32Array, from: number): Float64Array {
		const { headDim } = this.shape;
		const scales = this.scales as Float32Array;
		if (inverses.length < length) inverses = new Float64Array(length);
		for (let i = 0; i < length; i++) {
			let most = 0;
			for (let j = from + i * headDim; j < from + (i + 1) * headDim; j++)
				most = Math.max(most, Math.abs(rows[j] as number));
			scales[at + i] = most / LARGEST;
			// By the scale as it is stored, so that what was read from here has the same codes again.
			const stored = scales[at + i] as number;
			inverses[i] = stored > 0 ? 1 / stored : 0;
		}
		return inverses;
	}
}

/** Copies `count` equal stretches, which are longer in `to`, to where each begins there. */
function copyStretches<T extends Float32Array | Int8Array>(from: T, to: T, count: number): void {
	const [before, after] = [from.length / count, to.length / count];
	for (let i = 0; i < count; i++) to.set(from.subarray(i * before, (i + 1) * before), i * after);
}
