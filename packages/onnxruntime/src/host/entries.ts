/**
 * The keys, or the values, of one layer's heads in the slots of a segment: float32, or 8-bit codes with a scale for each
 * head and slot. Keys lie with their slots innermost, values with their dimensions (`kvNames`).
 */
import { type KvFormat, largestCode } from "@tok/runtime";
import type { Slab } from "./slab.ts";

export interface EntriesShape {
	readonly heads: number;
	readonly slots: number;
	readonly headDim: number;
	/** Keys lie with their slots innermost. */
	readonly kind: keyof typeof largestCode;
}

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

	/** Bytes of the arrays that `zeros` takes of a slab. */
	static lengths({ heads, slots, headDim }: EntriesShape, format: KvFormat): readonly number[] {
		const count = heads * slots * headDim;
		if (format === "float32") return [count * Float32Array.BYTES_PER_ELEMENT];
		return [count, heads * slots * Float32Array.BYTES_PER_ELEMENT];
	}

	/** Zeros, in a part of a slab. */
	static zeros(shape: EntriesShape, format: KvFormat, slab: Slab): Entries {
		const { heads, slots, headDim } = shape;
		const count = heads * slots * headDim;
		return format === "float32"
			? new Entries(shape, slab.floats(count), undefined)
			: new Entries(shape, slab.codes(count), slab.floats(heads * slots));
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

	/** Copies the entries to where they lie among as many or more slots. */
	copyTo(larger: Entries): void {
		const { heads, headDim, kind } = this.shape;
		copyStretches(this.data, larger.data, kind === "key" ? heads * headDim : heads);
		if (this.scales !== undefined && larger.scales !== undefined)
			copyStretches(this.scales, larger.scales, heads);
	}

	clear(): void {
		this.data.fill(0);
		this.scales?.fill(0);
	}

	/** Fills the slots from `slot` on with the rows [length, headDim] of one head that begin at `rows[from]`. */
	put(head: number, slot: number, length: number, rows: Float32Array, from: number): void {
		const { slots, headDim, kind } = this.shape;
		const { data, scales } = this;
		if (scales !== undefined) this.#putCodes(head, slot, length, rows, from);
		else if (kind === "key") {
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

	/**
	 * Row after row, as each has a scale of its own. Without a branch on the numbers, whose signs nobody can foretell: a
	 * wrong guess costs more than a number.
	 */
	#putCodes(head: number, slot: number, length: number, rows: Float32Array, from: number): void {
		const { slots, headDim, kind } = this.shape;
		const data = this.data as Int8Array;
		const scales = this.scales as Float32Array;
		const [step, apart] = kind === "key" ? [1, slots] : [headDim, 1];
		const largest = largestCode[kind];
		for (let i = 0, row = from; i < length; i++, row += headDim) {
			let most = 0;
			for (let d = 0; d < headDim; d++) most = Math.max(most, Math.abs(rows[row + d] as number));
			scales[head * slots + slot + i] = most / largest;
			// By the scale as it is stored, so that what was read from here has the same codes again.
			const stored = scales[head * slots + slot + i] as number;
			const inverse = stored > 0 ? 1 / stored : 0;
			let target = head * slots * headDim + (slot + i) * step;
			for (let d = 0; d < headDim; d++, target += apart)
				data[target] = nearest((rows[row + d] as number) * inverse);
		}
	}

	/** Reads the slots from `slot` on of one head into the rows [length, headDim] that begin at `rows[from]`. */
	take(head: number, slot: number, length: number, rows: Float32Array, from: number): void {
		const { slots, headDim, kind } = this.shape;
		const { data, scales } = this;
		const [step, apart] = kind === "key" ? [1, slots] : [headDim, 1];
		for (let i = 0; i < length; i++) {
			const scale = scales === undefined ? 1 : (scales[head * slots + slot + i] as number);
			let source = head * slots * headDim + (slot + i) * step;
			for (let d = 0; d < headDim; d++, source += apart)
				rows[from + i * headDim + d] = (data[source] as number) * scale;
		}
	}
}

/** Of a number above −128, as `Math.round` has it, which branches. */
function nearest(x: number): number {
	return ((x + 128.5) | 0) - 128;
}

/** Copies `count` equal stretches, which are longer in `to`, to where each begins there. */
function copyStretches<T extends Float32Array | Int8Array>(from: T, to: T, count: number): void {
	const [before, after] = [from.length / count, to.length / count];
	for (let i = 0; i < count; i++) to.set(from.subarray(i * before, (i + 1) * before), i * after);
}
