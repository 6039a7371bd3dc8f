/**
 * The keys, or the values, of one layer's heads in the slots of a segment: float32, or 8-bit codes with a scale for each
 * head and slot. Keys lie with their slots innermost, values with their dimensions (`kvNames`).
 */
import { type KvFormat, largestCode } from "@tok/runtime";
import type { Slab } from "./slab.ts";

/** Rows [length, headDim], one after the other. */
export interface Rows {
	readonly data: Float32Array;
	/** The same memory. */
	readonly bits: Int32Array;
}

export function rowsIn(data: Float32Array): Rows {
	return { data, bits: new Int32Array(data.buffer, data.byteOffset, data.length) };
}

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

	/** Fills the slots from `slot` on with the rows of one head that begin at number `from`. */
	put(head: number, slot: number, length: number, of: Rows, from: number): void {
		const { slots, headDim, kind } = this.shape;
		const { data, scales } = this;
		const { data: rows } = of;
		if (scales !== undefined) this.#putCodes(head, slot, length, of, from);
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
	#putCodes(head: number, slot: number, length: number, { data: rows, bits }: Rows, from: number): void {
		const { slots, headDim, kind } = this.shape;
		const data = this.data as Int8Array;
		const scales = this.scales as Float32Array;
		const [step, apart] = kind === "key" ? [1, slots] : [headDim, 1];
		const largest = largestCode[kind];
		for (let i = 0, row = from; i < length; i++, row += headDim) {
			scales[head * slots + slot + i] = largestMagnitude(bits, row, row + headDim) / largest;
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

/** As a code of 8 bits, of which what is beyond them is dropped: `Math.round` branches. */
function nearest(x: number): number {
	return (x + 256.5) | 0;
}

const magnitude = new Float32Array(1);
const magnitudeBits = new Int32Array(magnitude.buffer);

/** Without their signs the bits of floats are in the order of their magnitudes. `Math.max` branches. */
function largestMagnitude(bits: Int32Array, from: number, to: number): number {
	let most = 0;
	for (let i = from; i < to; i++) {
		const less = most - ((bits[i] as number) & 0x7fffffff);
		most -= less & (less >> 31);
	}
	magnitudeBits[0] = most;
	return magnitude[0] as number;
}

/** Copies `count` equal stretches, which are longer in `to`, to where each begins there. */
function copyStretches<T extends Float32Array | Int8Array>(from: T, to: T, count: number): void {
	const [before, after] = [from.length / count, to.length / count];
	for (let i = 0; i < count; i++) to.set(from.subarray(i * before, (i + 1) * before), i * after);
}
