/**
 * One segment's keys and values, of every layer, in host memory. A write copies only fresh rows, so its cost does not
 * depend on the slots.
 */
import { type KvWrite, TokError } from "@tok/runtime";

export interface Geometry {
	readonly layers: number;
	readonly kvHeads: number;
	readonly headDim: number;
}

export interface LayerBuffers {
	readonly key: Float32Array; // [kvHeads, headDim, slots]
	readonly value: Float32Array; // [kvHeads, slots, headDim]
}

/** A run's fresh keys and values. */
export interface FreshRows {
	readonly data: Float32Array; // [layers, 2, kvHeads, tokens, headDim]
	readonly tokens: number;
}

export class SegmentBuffers {
	readonly slots: number;
	readonly layers: readonly LayerBuffers[];
	readonly #geometry: Geometry;

	/** Over memory that somebody else has allocated, as long as the geometry says. */
	constructor(geometry: Geometry, slots: number, layers: readonly LayerBuffers[]) {
		this.#geometry = geometry;
		this.slots = slots;
		this.layers = layers;
	}

	static zeros(geometry: Geometry, slots: number): SegmentBuffers {
		const size = geometry.kvHeads * geometry.headDim * slots;
		const layers = Array.from({ length: geometry.layers }, () => ({ key: zeros(size), value: zeros(size) }));
		return new SegmentBuffers(geometry, slots, layers);
	}

	/** The numbers of neighbours [from, to) in buffers that hold several segments, one after the other. */
	part(from: number, to: number, of: number): LayerBuffers[] {
		return this.layers.map(({ key, value }) => {
			const size = key.length / of;
			return {
				key: key.subarray(from * size, to * size),
				value: value.subarray(from * size, to * size),
			};
		});
	}

	clone(): SegmentBuffers {
		const copy = SegmentBuffers.zeros(this.#geometry, this.slots);
		copy.layers.forEach(({ key, value }, layer) => {
			const from = this.layers[layer] as LayerBuffers;
			key.set(from.key);
			value.set(from.value);
		});
		return copy;
	}

	/** The same entries among more slots. */
	grown(slots: number): SegmentBuffers {
		const { kvHeads, headDim } = this.#geometry;
		const larger = SegmentBuffers.zeros(this.#geometry, slots);
		larger.layers.forEach(({ key, value }, layer) => {
			const from = this.layers[layer] as LayerBuffers;
			copyStretches(from.key, key, kvHeads * headDim, this.slots, slots);
			copyStretches(from.value, value, kvHeads, this.slots * headDim, slots * headDim);
		});
		return larger;
	}

	/** Slots `slot`…, as `write` takes them. The caller has checked the range. */
	read(slot: number, length: number): Float32Array {
		const { kvHeads, headDim } = this.#geometry;
		const { slots } = this;
		const rows = new Float32Array(length * rowLength(this.#geometry));
		let to = 0;
		for (const { key, value } of this.layers) {
			for (let head = 0; head < kvHeads; head++, to += length * headDim) {
				let from = head * headDim * slots + slot;
				for (let d = 0; d < headDim; d++, from += slots)
					for (let i = 0; i < length; i++) rows[to + i * headDim + d] = key[from + i] as number;
			}
			for (let head = 0; head < kvHeads; head++, to += length * headDim) {
				const from = (head * slots + slot) * headDim;
				rows.set(value.subarray(from, from + length * headDim), to);
			}
		}
		return rows;
	}

	/** Copies rows `row`… of `fresh` to slots `slot`… . The caller has checked the ranges. */
	write({ row, slot, length }: KvWrite, { data, tokens }: FreshRows): void {
		const { kvHeads, headDim } = this.#geometry;
		const { slots } = this;
		const plane = tokens * headDim; // one head's rows
		let from = row * headDim;
		for (const { key, value } of this.layers) {
			for (let head = 0; head < kvHeads; head++, from += plane) {
				let target = head * headDim * slots + slot;
				for (let d = 0; d < headDim; d++, target += slots)
					for (let i = 0; i < length; i++) key[target + i] = data[from + i * headDim + d] as number;
			}
			for (let head = 0; head < kvHeads; head++, from += plane)
				value.set(data.subarray(from, from + length * headDim), (head * slots + slot) * headDim);
		}
	}
}

/** One slot's numbers of every layer: a key and a value for each head. */
export function rowLength({ layers, kvHeads, headDim }: Geometry): number {
	return layers * 2 * kvHeads * headDim;
}

/** Copies `count` stretches of `before` numbers to where stretches of `after` numbers begin. */
function copyStretches(
	from: Float32Array,
	to: Float32Array,
	count: number,
	before: number,
	after: number,
): void {
	for (let i = 0; i < count; i++) to.set(from.subarray(i * before, (i + 1) * before), i * after);
}

function zeros(length: number): Float32Array {
	try {
		return new Float32Array(length);
	} catch (cause) {
		throw new TokError(
			"runtime-cpu",
			`expected memory for ${4 * length} bytes of keys or values, got none. Choose a smaller window.`,
			{ cause },
		);
	}
}
