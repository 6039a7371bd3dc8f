/**
 * One segment's keys and values, of every layer that has it, in host memory. A write copies only fresh rows, so its
 * cost does not depend on the slots.
 */
import type { KvFormat, KvKind, KvPart, KvWrite } from "@tok/runtime";
import { Entries } from "./entries.ts";

export interface Geometry {
	readonly layers: number;
	readonly kvHeads: number;
	readonly headDim: number;
}

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

/** The heads of the layers that have a segment. */
function partsOf({ layers, kvHeads }: Geometry, kind: KvKind | undefined): readonly KvPart[] {
	const heads = Array.from({ length: kvHeads }, (_, head) => head);
	return kind?.parts ?? Array.from({ length: layers }, (_, layer) => ({ layer, heads }));
}

/** Bytes of a slot in all its layers: keys and values. */
export function bytesPerSlot(geometry: Geometry, kind: KvKind | undefined): number {
	const heads = partsOf(geometry, kind).reduce((sum, part) => sum + part.heads.length, 0);
	return heads * 2 * (kind?.format === "int8" ? geometry.headDim + 4 : geometry.headDim * 4);
}

export class SegmentBuffers {
	readonly slots: number;
	readonly parts: readonly PartBuffers[];
	readonly #geometry: Geometry;
	readonly #kind: KvKind | undefined;

	private constructor(
		geometry: Geometry,
		kind: KvKind | undefined,
		slots: number,
		parts: readonly PartBuffers[],
	) {
		this.#geometry = geometry;
		this.#kind = kind;
		this.slots = slots;
		this.parts = parts;
	}

	/** @param copies Segments that lie one after the other in the buffers; see `neighbours`. */
	static zeros(
		geometry: Geometry,
		kind: KvKind | undefined,
		slots: number,
		copies: number = 1,
	): SegmentBuffers {
		const { headDim } = geometry;
		const format: KvFormat = kind?.format ?? "float32";
		const parts = partsOf(geometry, kind).map((part) => {
			const shape = { heads: copies * part.heads.length, slots, headDim };
			return {
				...part,
				key: Entries.zeros({ ...shape, slotsInnermost: true }, format),
				value: Entries.zeros({ ...shape, slotsInnermost: false }, format),
			};
		});
		return new SegmentBuffers(geometry, kind, slots, parts);
	}

	get bytes(): number {
		return this.slots * bytesPerSlot(this.#geometry, this.#kind);
	}

	/** One slot's numbers: a key and a value for each head of each layer. */
	get rowLength(): number {
		return this.parts.reduce((sum, { heads }) => sum + heads.length, 0) * 2 * this.#geometry.headDim;
	}

	/** Of buffers that hold several segments, those from `from` up to `to`, in the same memory. */
	neighbours(from: number, to: number): SegmentBuffers {
		const parts = this.parts.map(({ layer, heads, key, value }) => ({
			layer,
			heads,
			key: key.heads(from * heads.length, to * heads.length),
			value: value.heads(from * heads.length, to * heads.length),
		}));
		return new SegmentBuffers(this.#geometry, this.#kind, this.slots, parts);
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
		return new SegmentBuffers(this.#geometry, this.#kind, slots, parts);
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
