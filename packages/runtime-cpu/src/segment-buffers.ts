/**
 * One segment's keys and values, of every layer that has it, in host memory. A write copies only fresh rows, so its
 * cost does not depend on the slots.
 */
import {
	headCount,
	type KvFormat,
	type KvPart,
	type KvShape,
	type KvWrite,
	kvParts,
	kvSlotBytes,
} from "@tok/runtime";
import { Entries } from "./entries.ts";

/** A cache's shape but for its slots. */
export type Geometry = Omit<KvShape, "slots">;

/** The buffers of one layer. */
export interface PartBuffers extends KvPart {
	readonly key: Entries;
	readonly value: Entries;
}

/** A run's fresh keys and values. */
export interface FreshRows {
	readonly data: Float32Array; // [layers, 2, kvHeads, tokens, headDim]
	readonly tokens: number;
}

export class SegmentBuffers {
	readonly slots: number;
	readonly parts: readonly PartBuffers[];
	readonly #geometry: Geometry;
	/** Its place in the geometry. */
	readonly #segment: number;

	private constructor(geometry: Geometry, segment: number, slots: number, parts: readonly PartBuffers[]) {
		this.#geometry = geometry;
		this.#segment = segment;
		this.slots = slots;
		this.parts = parts;
	}

	/** @param copies Segments that lie one after the other in the buffers; see `neighbours`. */
	static zeros(geometry: Geometry, segment: number, slots: number, copies: number = 1): SegmentBuffers {
		const { headDim, kinds } = geometry;
		const format: KvFormat = kinds?.[segment]?.format ?? "float32";
		const parts = kvParts(geometry, segment).map((part) => {
			const shape = { heads: copies * part.heads.length, slots, headDim };
			return {
				...part,
				key: Entries.zeros({ ...shape, slotsInnermost: true }, format),
				value: Entries.zeros({ ...shape, slotsInnermost: false }, format),
			};
		});
		return new SegmentBuffers(geometry, segment, slots, parts);
	}

	get bytes(): number {
		return this.slots * this.slotBytes;
	}

	get slotBytes(): number {
		return kvSlotBytes(this.#geometry, this.#segment);
	}

	/** One slot's numbers: a key and a value for each head of each layer. */
	get rowLength(): number {
		return headCount(this.parts) * 2 * this.#geometry.headDim;
	}

	/** Of buffers that hold several segments, those from `from` up to `to`, in the same memory. */
	neighbours(from: number, to: number): SegmentBuffers {
		const parts = this.parts.map(({ layer, heads, key, value }) => ({
			layer,
			heads,
			key: key.heads(from * heads.length, to * heads.length),
			value: value.heads(from * heads.length, to * heads.length),
		}));
		return new SegmentBuffers(this.#geometry, this.#segment, this.slots, parts);
	}

	clear(): void {
		for (const { key, value } of this.parts) {
			key.clear();
			value.clear();
		}
	}

	clone(): SegmentBuffers {
		return this.grown(this.slots);
	}

	/** The same entries among more slots, in memory of their own. */
	grown(slots: number): SegmentBuffers {
		const parts = this.parts.map(({ layer, heads, key, value }) => ({
			layer,
			heads,
			key: key.grown(slots),
			value: value.grown(slots),
		}));
		return new SegmentBuffers(this.#geometry, this.#segment, slots, parts);
	}

	/** Slots `slot`…, [layers, 2, heads, length, headDim]. The caller has checked the range. */
	readSlots(slot: number, length: number): Float32Array {
		const plane = length * this.#geometry.headDim; // one head's rows
		const rows = new Float32Array(length * this.rowLength);
		let at = 0;
		for (const { heads, key, value } of this.parts)
			for (const entries of [key, value])
				for (let head = 0; head < heads.length; head++, at += plane)
					entries.take(head, slot, length, rows.subarray(at, at + plane));
		return rows;
	}

	/** Fills slots from such rows. The caller has checked the range. */
	writeSlots(slot: number, length: number, rows: Float32Array): void {
		const plane = length * this.#geometry.headDim;
		let at = 0;
		for (const { heads, key, value } of this.parts)
			for (const entries of [key, value])
				for (let head = 0; head < heads.length; head++, at += plane)
					entries.put(head, slot, length, rows.subarray(at, at + plane));
	}

	/** Copies rows `row`… of `fresh` to slots `slot`… . The caller has checked the ranges. */
	write({ row, slot, length }: KvWrite, { data, tokens }: FreshRows): void {
		const { kvHeads, headDim } = this.#geometry;
		const plane = tokens * headDim;
		for (const { layer, heads, key, value } of this.parts)
			heads.forEach((head, i) => {
				const first = (layer * 2 * kvHeads + head) * plane + row * headDim;
				key.put(i, slot, length, data.subarray(first, first + length * headDim));
				const second = first + kvHeads * plane;
				value.put(i, slot, length, data.subarray(second, second + length * headDim));
			});
	}
}
