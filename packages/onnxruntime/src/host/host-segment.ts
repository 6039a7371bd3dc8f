/**
 * One segment's keys and values in host memory, where onnxruntime reads them in place. A write copies only fresh rows,
 * so its cost does not depend on the slots.
 */
import {
	freeArray,
	headCount,
	type KvFormat,
	type KvPart,
	type KvWrite,
	kvNames,
	kvParts,
} from "@tok/runtime";
import type { Tensor } from "onnxruntime-common";
import type { BufferFile, FreshRows, Geometry, SegmentBuffers, SegmentMemory } from "../kv/segment.ts";
import type { TensorClass } from "../transfers.ts";
import { Entries, type EntriesShape } from "./entries.ts";
import { Slab } from "./slab.ts";

/** The buffers of one layer. */
interface PartBuffers extends KvPart {
	readonly key: Entries;
	readonly value: Entries;
}

interface HostRows extends FreshRows {
	readonly data: Float32Array; // [layers, 2, kvHeads, tokens, headDim]
}

/** Host memory, for an onnxruntime whose tensors are of this class, in the formats that it computes well with. */
export function hostMemory(
	NativeTensor: TensorClass,
	formats: readonly KvFormat[] = ["float32", "int8"],
): SegmentMemory<HostRows> {
	return {
		formats,
		zeros: (geometry, segment, slots, copies) =>
			HostSegment.zeros(NativeTensor, geometry, segment, slots, copies),
		freshRows(fresh, batch) {
			const data = fresh.data as Float32Array;
			const size = data.length / batch;
			let inUse = batch;
			return Array.from({ length: batch }, (_, i) => ({
				data: data.subarray(i * size, (i + 1) * size),
				tokens: fresh.dims[2] as number,
				release: () => {
					if (--inUse === 0) freeArray(data);
				},
			}));
		},
	};
}

class HostSegment implements SegmentBuffers<HostRows> {
	readonly slots: number;
	readonly #parts: readonly PartBuffers[];
	/** What all of them lie in; undefined where it is another segment's. */
	readonly #slab: Slab | undefined;
	readonly #Tensor: TensorClass;
	readonly #geometry: Geometry;
	/** Its place in the geometry. */
	readonly #segment: number;

	private constructor(
		NativeTensor: TensorClass,
		geometry: Geometry,
		segment: number,
		slots: number,
		parts: readonly PartBuffers[],
		slab?: Slab,
	) {
		this.#Tensor = NativeTensor;
		this.#geometry = geometry;
		this.#segment = segment;
		this.slots = slots;
		this.#parts = parts;
		this.#slab = slab;
	}

	static zeros(
		NativeTensor: TensorClass,
		geometry: Geometry,
		segment: number,
		slots: number,
		copies: number,
	): HostSegment {
		const { headDim, kinds } = geometry;
		const format: KvFormat = kinds?.[segment]?.format ?? "float32";
		const shapes = kvParts(geometry, segment).map(
			({ heads }): EntriesShape => ({
				heads: copies * heads.length,
				slots,
				headDim,
				kind: "value",
			}),
		);
		// Keys take as much as values.
		const slab = new Slab(shapes.reduce((sum, shape) => sum + 2 * Entries.bytes(shape, format), 0));
		const parts = kvParts(geometry, segment).map((part, i) => {
			const shape = shapes[i] as EntriesShape;
			return {
				...part,
				key: Entries.zeros({ ...shape, kind: "key" }, format, slab),
				value: Entries.zeros(shape, format, slab),
			};
		});
		return new HostSegment(NativeTensor, geometry, segment, slots, parts, slab);
	}

	addTensors(tensors: Record<string, Tensor>, batch: number): void {
		const { headDim } = this.#geometry;
		const { slots } = this;
		const segment = this.#segment;
		for (const { layer, heads, key, value } of this.#parts) {
			const add = (name: string, data: Float32Array | Int8Array, ...last: number[]): void => {
				tensors[name] = this.#tensor(data, [batch, heads.length, 1, ...last]);
			};
			add(kvNames.key(segment, layer), key.data, headDim, slots);
			add(kvNames.value(segment, layer), value.data, slots, headDim);
			if (key.scales === undefined || value.scales === undefined) continue;
			add(kvNames.keyScale(segment, layer), key.scales, 1, slots);
			add(kvNames.valueScale(segment, layer), value.scales, slots, 1);
		}
	}

	neighbours(from: number, to: number): HostSegment {
		const parts = this.#parts.map(({ layer, heads, key, value }) => ({
			layer,
			heads,
			key: key.heads(from * heads.length, to * heads.length),
			value: value.heads(from * heads.length, to * heads.length),
		}));
		return new HostSegment(this.#Tensor, this.#geometry, this.#segment, this.slots, parts);
	}

	clear(): void {
		for (const { key, value } of this.#parts) {
			key.clear();
			value.clear();
		}
	}

	grown(slots: number): HostSegment {
		const larger = HostSegment.zeros(this.#Tensor, this.#geometry, this.#segment, slots, 1);
		for (const [i, { key, value }] of larger.#parts.entries()) {
			this.#parts[i]?.key.copyTo(key);
			this.#parts[i]?.value.copyTo(value);
		}
		return larger;
	}

	async readSlots(slot: number, length: number): Promise<Float32Array> {
		const plane = length * this.#geometry.headDim; // one head's rows
		const rows = new Float32Array(headCount(this.#parts) * 2 * plane);
		let at = 0;
		for (const { heads, key, value } of this.#parts)
			for (const entries of [key, value])
				for (let head = 0; head < heads.length; head++, at += plane)
					entries.take(head, slot, length, rows, at);
		return rows;
	}

	writeSlots(slot: number, length: number, rows: Float32Array): void {
		const plane = length * this.#geometry.headDim;
		let at = 0;
		for (const { heads, key, value } of this.#parts)
			for (const entries of [key, value])
				for (let head = 0; head < heads.length; head++, at += plane)
					entries.put(head, slot, length, rows, at);
	}

	write({ row, slot, length }: KvWrite, { data, tokens }: HostRows): void {
		const { kvHeads, headDim } = this.#geometry;
		const plane = tokens * headDim;
		for (const { layer, heads, key, value } of this.#parts)
			heads.forEach((head, i) => {
				const first = (layer * 2 * kvHeads + head) * plane + row * headDim;
				key.put(i, slot, length, data, first);
				value.put(i, slot, length, data, first + kvHeads * plane);
			});
	}

	files(layer: number): readonly BufferFile[] {
		const part = this.#parts.find((each) => each.layer === layer);
		return [part?.key, part?.value].flatMap((entries) =>
			[entries?.data, entries?.scales].flatMap((data) => (data === undefined ? [] : fileOf(data))),
		);
	}

	dispose(): void {
		this.#slab?.free();
	}

	#tensor(data: Float32Array | Int8Array, dims: readonly number[]): Tensor {
		return data instanceof Float32Array
			? new this.#Tensor("float32", data, dims)
			: new this.#Tensor("int8", data, dims);
	}
}

function fileOf({ buffer, byteOffset, byteLength }: Float32Array | Int8Array): BufferFile {
	const bytes = new Uint8Array(buffer, byteOffset, byteLength);
	return { byteLength, read: () => bytes, target: () => bytes, replace: () => {} };
}
