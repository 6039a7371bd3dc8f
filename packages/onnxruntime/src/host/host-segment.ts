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
import { Entries, type EntriesShape, type Rows, rowsIn } from "./entries.ts";
import { type DiskBlocks, Slab } from "./slab.ts";

/** The buffers of one layer. */
interface PartBuffers extends KvPart {
	readonly key: Entries;
	readonly value: Entries;
}

/** [layers, 2, kvHeads, tokens, headDim] */
interface HostRows extends FreshRows, Rows {}

export interface HostMemoryOptions {
	/** Those that the onnxruntime computes well with. Defaults to float32 and int8. */
	readonly formats?: readonly KvFormat[];
	/** Where values of segments with `sparseValues` lie, as long as it works. Defaults to memory. */
	readonly disk?: DiskBlocks | undefined;
}

/** Host memory, for an onnxruntime whose tensors are of this class. */
export function hostMemory(
	NativeTensor: TensorClass,
	{ formats = ["float32", "int8"], disk }: HostMemoryOptions = {},
): SegmentMemory<HostRows> {
	const host: Host = { NativeTensor, disk };
	return {
		formats,
		get valuesOnDisk() {
			return disk?.works ?? false;
		},
		zeros: (geometry, segment, slots, copies) =>
			HostSegment.zeros(host, { geometry, segment, slots, copies }),
		freshRows(fresh, batch) {
			const data = fresh.data as Float32Array;
			const size = data.length / batch;
			let inUse = batch;
			return Array.from({ length: batch }, (_, i) => ({
				...rowsIn(data.subarray(i * size, (i + 1) * size)),
				tokens: fresh.dims[2] as number,
				release: () => {
					if (--inUse === 0) freeArray(data);
				},
			}));
		},
	};
}

/** What segments of one memory share. */
interface Host {
	readonly NativeTensor: TensorClass;
	readonly disk: DiskBlocks | undefined;
}

interface Place {
	readonly geometry: Geometry;
	/** Its place in the geometry. */
	readonly segment: number;
	readonly slots: number;
	/** Of the segment, one after the other. */
	readonly copies: number;
}

class HostSegment implements SegmentBuffers<HostRows> {
	readonly slots: number;
	readonly valuesOnDisk: boolean;
	readonly #host: Host;
	readonly #geometry: Geometry;
	readonly #segment: number;
	readonly #parts: readonly PartBuffers[];
	/** What all of them lie in; none where it is another segment's. */
	readonly #slabs: readonly Slab[];

	private constructor(
		host: Host,
		{ geometry, segment, slots }: Place,
		valuesOnDisk: boolean,
		parts: readonly PartBuffers[],
		slabs: readonly Slab[] = [],
	) {
		this.slots = slots;
		this.valuesOnDisk = valuesOnDisk;
		this.#host = host;
		this.#geometry = geometry;
		this.#segment = segment;
		this.#parts = parts;
		this.#slabs = slabs;
	}

	static zeros(host: Host, place: Place): HostSegment {
		const { geometry, segment, slots, copies } = place;
		const { headDim, kinds } = geometry;
		const sparse = kinds?.[segment]?.sparseValues === true;
		const disk = sparse && host.disk?.works ? host.disk : undefined;
		const format: KvFormat = kinds?.[segment]?.format ?? "float32";
		const parts = kvParts(geometry, segment);
		const shapes = parts.map(
			({ heads }): EntriesShape => ({ heads: copies * heads.length, slots, headDim, kind: "value" }),
		);
		// Keys take as much as values.
		const lengths = shapes.map((shape) => Entries.lengths(shape, format));
		const both = lengths.flatMap((each) => [...each, ...each]);
		const keys = new Slab(disk === undefined ? both : lengths.flat());
		const values = disk === undefined ? keys : new Slab(lengths.flat(), disk);
		const slabs = [...new Set([keys, values])];
		try {
			const buffers = parts.map((part, i) => {
				const shape = shapes[i] as EntriesShape;
				const key = Entries.zeros({ ...shape, kind: "key" }, format, keys);
				return { ...part, key, value: Entries.zeros(shape, format, values) };
			});
			return new HostSegment(host, place, disk !== undefined, buffers, slabs);
		} catch (error) {
			for (const slab of slabs) slab.free();
			throw error;
		}
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
		return new HostSegment(this.#host, this.#place(this.slots), this.valuesOnDisk, parts);
	}

	clear(): void {
		for (const { key, value } of this.#parts) {
			key.clear();
			value.clear();
		}
	}

	grown(slots: number): HostSegment {
		const larger = HostSegment.zeros(this.#host, this.#place(slots));
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

	writeSlots(slot: number, length: number, data: Float32Array): void {
		const rows = rowsIn(data);
		const plane = length * this.#geometry.headDim;
		let at = 0;
		for (const { heads, key, value } of this.#parts)
			for (const entries of [key, value])
				for (let head = 0; head < heads.length; head++, at += plane)
					entries.put(head, slot, length, rows, at);
	}

	write({ row, slot, length }: KvWrite, rows: HostRows): void {
		const { kvHeads, headDim } = this.#geometry;
		const plane = rows.tokens * headDim;
		for (const { layer, heads, key, value } of this.#parts)
			heads.forEach((head, i) => {
				const first = (layer * 2 * kvHeads + head) * plane + row * headDim;
				key.put(i, slot, length, rows, first);
				value.put(i, slot, length, rows, first + kvHeads * plane);
			});
	}

	files(layer: number): readonly BufferFile[] {
		const part = this.#parts.find((each) => each.layer === layer);
		return [part?.key, part?.value].flatMap((entries) =>
			[entries?.data, entries?.scales].flatMap((data) => (data === undefined ? [] : fileOf(data))),
		);
	}

	dispose(): void {
		for (const slab of this.#slabs) slab.free();
	}

	#place(slots: number): Place {
		return { geometry: this.#geometry, segment: this.#segment, slots, copies: 1 };
	}

	#tensor(data: Float32Array | Int8Array, dims: readonly number[]): Tensor {
		const { NativeTensor } = this.#host;
		return data instanceof Float32Array
			? new NativeTensor("float32", data, dims)
			: new NativeTensor("int8", data, dims);
	}
}

function fileOf({ buffer, byteOffset, byteLength }: Float32Array | Int8Array): BufferFile {
	const bytes = new Uint8Array(buffer, byteOffset, byteLength);
	return { byteLength, read: () => bytes, target: () => bytes, replace: () => {} };
}
