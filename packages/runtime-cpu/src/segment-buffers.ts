/**
 * One segment's keys and values, of every layer that has it, in host memory. A write copies only fresh rows, so its cost does not
 * depend on the slots.
 */
import { type KvWrite, TokError } from "@tok/runtime";

export interface Geometry {
	readonly layers: number;
	readonly kvHeads: number;
	readonly headDim: number;
}

export interface LayerBuffers {
	/** Of the model. */
	readonly layer: number;
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

	/** @param layers Those that have the segment; undefined for all. */
	static zeros(geometry: Geometry, slots: number, layers?: readonly number[]): SegmentBuffers {
		const size = geometry.kvHeads * geometry.headDim * slots;
		const own = layers ?? Array.from({ length: geometry.layers }, (_, layer) => layer);
		const buffers = own.map((layer) => ({ layer, key: zeros(size), value: zeros(size) }));
		return new SegmentBuffers(geometry, slots, buffers);
	}

	get bytes(): number {
		return this.rowLength * this.slots * Float32Array.BYTES_PER_ELEMENT;
	}

	/** One slot's numbers: a key and a value for each head of each layer. */
	get rowLength(): number {
		return this.layers.length * 2 * this.#geometry.kvHeads * this.#geometry.headDim;
	}

	/** The numbers of neighbours [from, to) in buffers that hold several segments, one after the other. */
	part(from: number, to: number, of: number): LayerBuffers[] {
		return this.layers.map(({ layer, key, value }) => {
			const size = key.length / of;
			return {
				layer,
				key: key.subarray(from * size, to * size),
				value: value.subarray(from * size, to * size),
			};
		});
	}

	clone(): SegmentBuffers {
		const copy = this.#zeros(this.slots);
		copy.layers.forEach(({ key, value }, i) => {
			const from = this.layers[i] as LayerBuffers;
			key.set(from.key);
			value.set(from.value);
		});
		return copy;
	}

	/** The same entries among more slots. */
	grown(slots: number): SegmentBuffers {
		const { kvHeads, headDim } = this.#geometry;
		const larger = this.#zeros(slots);
		larger.layers.forEach(({ key, value }, i) => {
			const from = this.layers[i] as LayerBuffers;
			copyStretches(from.key, key, kvHeads * headDim, this.slots, slots);
			copyStretches(from.value, value, kvHeads, this.slots * headDim, slots * headDim);
		});
		return larger;
	}

	/** Slots `slot`…, [layers, 2, kvHeads, length, headDim]. The caller has checked the range. */
	readSlots(slot: number, length: number): Float32Array {
		const { kvHeads, headDim } = this.#geometry;
		const { slots } = this;
		const rows = new Float32Array(length * this.rowLength);
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

	/** Fills slots from such rows. The caller has checked the range. */
	writeSlots(slot: number, length: number, rows: Float32Array): void {
		const size = 2 * this.#geometry.kvHeads * length * this.#geometry.headDim; // one layer's rows
		this.layers.forEach((buffers, i) => {
			this.#writeLayer(buffers, { row: 0, slot, length }, rows.subarray(i * size, (i + 1) * size), length);
		});
	}

	/** Copies rows `row`… of `fresh` to slots `slot`… . The caller has checked the ranges. */
	write(write: KvWrite, { data, tokens }: FreshRows): void {
		const size = 2 * this.#geometry.kvHeads * tokens * this.#geometry.headDim; // one layer's rows
		for (const buffers of this.layers)
			this.#writeLayer(
				buffers,
				write,
				data.subarray(buffers.layer * size, (buffers.layer + 1) * size),
				tokens,
			);
	}

	#writeLayer(
		{ key, value }: LayerBuffers,
		{ row, slot, length }: Omit<KvWrite, "segment">,
		data: Float32Array, // [2, kvHeads, tokens, headDim]
		tokens: number,
	): void {
		const { kvHeads, headDim } = this.#geometry;
		const { slots } = this;
		const plane = tokens * headDim; // one head's rows
		let from = row * headDim;
		for (let head = 0; head < kvHeads; head++, from += plane) {
			let target = head * headDim * slots + slot;
			for (let d = 0; d < headDim; d++, target += slots)
				for (let i = 0; i < length; i++) key[target + i] = data[from + i * headDim + d] as number;
		}
		for (let head = 0; head < kvHeads; head++, from += plane)
			value.set(data.subarray(from, from + length * headDim), (head * slots + slot) * headDim);
	}

	#zeros(slots: number): SegmentBuffers {
		const layers = this.layers.map(({ layer }) => layer);
		return SegmentBuffers.zeros(this.#geometry, slots, layers);
	}
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
