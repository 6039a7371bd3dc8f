/**
 * One segment's keys and values in buffers of the GPU, where graphs read them in place. Fresh rows never leave it: a
 * shader moves them into their slots.
 */
import type { BufferFile, FreshRows, Geometry, SegmentBuffers, SegmentMemory } from "@tok/onnxruntime";
import { headCount, type KvPart, type KvWrite, kvNames, kvParts, kvSlotBytes } from "@tok/runtime";
import * as ort from "onnxruntime-web/webgpu";
import type { Gpu } from "./gpu.ts";
import type { LayerBuffers } from "./slot-mover.ts";

export interface GpuRows extends FreshRows {
	/** Undefined when there are no tokens. */
	readonly buffer: GPUBuffer | undefined; // [batch, layers, 2, kvHeads, tokens, headDim]
	/** First number of this store's rows. */
	readonly base: number;
}

/** One layer's buffers, as rows of a run and as rows of this segment alone find their way into them. */
interface PartBuffers extends KvPart {
	readonly key: GPUBuffer;
	readonly value: GPUBuffer;
	readonly fresh: LayerBuffers;
	readonly packed: LayerBuffers;
}

/** Buffers for a range of places of a bank that does not begin with the first: tensors begin where buffers do. */
interface Copies {
	readonly from: GPUBuffer;
	readonly to: GPUBuffer;
	readonly offset: number;
	readonly size: number;
}

/** Empty buffers cannot be bound. */
const LEAST_BYTES = 16;

/** The memory of a device. */
export function gpuMemory(gpu: Gpu): SegmentMemory<GpuRows> {
	return {
		formats: ["float32"],
		zeros: (geometry, segment, slots, copies) => GpuSegment.zeros({ gpu, geometry, segment }, slots, copies),
		freshRows(fresh, batch) {
			const { dims } = fresh;
			const size = dims.reduce((product, dim) => product * dim, 1);
			// Without tokens there is no buffer, and nothing that a write could take.
			const rows = size === 0 ? undefined : gpu.rows.copyOf(fresh.gpuBuffer as GPUBuffer, 4 * size);
			// A session that is released takes its outputs with it.
			fresh.dispose();
			let users = batch;
			const release = (): void => {
				users--;
				if (users === 0 && rows !== undefined) gpu.rows.giveBack(rows);
			};
			return Array.from({ length: batch }, (_, i) => ({
				buffer: rows,
				base: (i * size) / batch,
				tokens: dims[2] as number,
				release,
			}));
		},
	};
}

interface Place {
	readonly gpu: Gpu;
	readonly geometry: Geometry;
	/** Its place in the geometry. */
	readonly segment: number;
}

class GpuSegment implements SegmentBuffers<GpuRows> {
	readonly slots: number;
	readonly #place: Place;
	readonly #parts: readonly PartBuffers[];
	/** Segments that lie in the buffers before this one. */
	readonly #before: number;
	/** Segments that this one stands for; undefined when it owns its buffers. */
	readonly #neighbours: number | undefined;
	readonly #copies: Copies[] = [];

	private constructor(
		place: Place,
		slots: number,
		parts: readonly Pick<PartBuffers, "layer" | "heads" | "key" | "value">[],
		{ before, neighbours }: { readonly before: number; readonly neighbours: number | undefined },
	) {
		this.#place = place;
		this.slots = slots;
		this.#before = before;
		this.#neighbours = neighbours;
		const { mover } = place.gpu;
		const { kvHeads, headDim } = place.geometry;
		let plane = 0;
		this.#parts = parts.map(({ layer, heads, key, value }) => {
			const first = before * heads.length;
			const buffers = (at: number, values: number, own: readonly number[]): LayerBuffers => ({
				key,
				value,
				layout: mover.layout([at, values, headDim, slots, own.length, first], own),
				heads: own.length,
			});
			const fresh = buffers(layer * 2 * kvHeads, kvHeads, heads);
			const packed = buffers(plane, heads.length, [...heads.keys()]);
			plane += 2 * heads.length;
			return { layer, heads, key, value, fresh, packed };
		});
	}

	static zeros(place: Place, slots: number, copies: number): GpuSegment {
		const { gpu, geometry, segment } = place;
		const made: GPUBuffer[] = [];
		const buffer = (numbers: number): GPUBuffer => {
			const one = gpu.storage(Math.max(LEAST_BYTES, 4 * numbers));
			made.push(one);
			return one;
		};
		try {
			const parts = kvParts(geometry, segment).map(({ layer, heads }) => {
				const numbers = copies * heads.length * slots * geometry.headDim;
				return { layer, heads, key: buffer(numbers), value: buffer(numbers) };
			});
			return new GpuSegment(place, slots, parts, { before: 0, neighbours: undefined });
		} catch (error) {
			for (const one of made) one.destroy();
			throw error;
		}
	}

	get bytes(): number {
		return this.slots * this.slotBytes;
	}

	get slotBytes(): number {
		return kvSlotBytes(this.#place.geometry, this.#place.segment);
	}

	get rowLength(): number {
		return headCount(this.#parts) * 2 * this.#place.geometry.headDim;
	}

	addTensors(tensors: Record<string, ort.Tensor>, batch: number): void {
		const { gpu, geometry, segment } = this.#place;
		for (const { layer, heads, key, value } of this.#parts) {
			const add = (name: string, buffer: GPUBuffer, ...last: number[]): void => {
				const dims = [batch, heads.length, 1, ...last];
				let gpuBuffer = buffer;
				if (this.#before > 0) {
					const { offset, size } = this.#range(heads.length);
					gpuBuffer = gpu.storage(Math.max(LEAST_BYTES, size));
					this.#copies.push({ from: buffer, to: gpuBuffer, offset, size });
				}
				tensors[name] = ort.Tensor.fromGpuBuffer(gpuBuffer, { dataType: "float32", dims });
			};
			add(kvNames.key(segment, layer), key, geometry.headDim, this.slots);
			add(kvNames.value(segment, layer), value, this.slots, geometry.headDim);
		}
	}

	refresh(): void {
		if (this.#copies.length === 0) return;
		const { device } = this.#place.gpu;
		const encoder = device.createCommandEncoder();
		for (const { from, to, offset, size } of this.#copies)
			if (size > 0) encoder.copyBufferToBuffer(from, offset, to, 0, size);
		device.queue.submit([encoder.finish()]);
	}

	write({ row, slot, length }: KvWrite, { buffer, base, tokens }: GpuRows): void {
		if (buffer === undefined) return;
		const { gpu, geometry } = this.#place;
		const layers = this.#parts.map(({ fresh }) => fresh);
		gpu.mover.scatter(layers, geometry.headDim, buffer, { row, slot, length, tokens, base });
	}

	async readSlots(slot: number, length: number): Promise<Float32Array> {
		const { gpu } = this.#place;
		const bytes = 4 * length * this.rowLength;
		if (bytes === 0) return new Float32Array(0);
		const rows = gpu.storage(bytes);
		try {
			this.#gather(rows, slot, length);
			return new Float32Array(await gpu.download(rows, 0, bytes));
		} finally {
			rows.destroy();
		}
	}

	writeSlots(slot: number, length: number, rows: Float32Array): void {
		if (rows.length === 0) return;
		const { gpu } = this.#place;
		const buffer = gpu.storage(rows.byteLength);
		gpu.device.queue.writeBuffer(buffer, 0, rows as Float32Array<ArrayBuffer>);
		this.#scatter(buffer, slot, length);
		buffer.destroy();
	}

	grown(slots: number): GpuSegment {
		const larger = GpuSegment.zeros(this.#place, slots, 1);
		const bytes = 4 * this.slots * this.rowLength;
		if (bytes === 0) return larger;
		const rows = this.#place.gpu.storage(bytes);
		this.#gather(rows, 0, this.slots);
		larger.#scatter(rows, 0, this.slots);
		rows.destroy();
		return larger;
	}

	neighbours(from: number, to: number): GpuSegment {
		return new GpuSegment(this.#place, this.slots, this.#parts, { before: from, neighbours: to - from });
	}

	clear(): void {
		const { device } = this.#place.gpu;
		const encoder = device.createCommandEncoder();
		for (const { heads, key, value } of this.#parts) {
			const { offset, size } = this.#range(heads.length);
			if (size === 0) continue;
			encoder.clearBuffer(key, offset, size);
			encoder.clearBuffer(value, offset, size);
		}
		device.queue.submit([encoder.finish()]);
	}

	files(layer: number): readonly BufferFile[] {
		const { gpu } = this.#place;
		const part = this.#parts.find((each) => each.layer === layer);
		if (part === undefined) return [];
		const { offset, size } = this.#range(part.heads.length);
		return [part.key, part.value].map((buffer) => ({
			byteLength: size,
			read: async () => new Uint8Array(await gpu.download(buffer, offset, size)),
			target: () => new Uint8Array(size),
			replace: (target) => gpu.device.queue.writeBuffer(buffer, offset, target as Uint8Array<ArrayBuffer>),
		}));
	}

	dispose(): void {
		for (const { to } of this.#copies) to.destroy();
		for (const { key, value, fresh, packed } of this.#parts) {
			fresh.layout.destroy();
			packed.layout.destroy();
			if (this.#neighbours !== undefined) continue;
			key.destroy();
			value.destroy();
		}
	}

	/** Bytes of a part with so many heads in its buffers. */
	#range(heads: number): { readonly offset: number; readonly size: number } {
		const one = 4 * heads * this.slots * this.#place.geometry.headDim;
		return { offset: this.#before * one, size: (this.#neighbours ?? 1) * one };
	}

	#gather(rows: GPUBuffer, slot: number, length: number): void {
		const { gpu, geometry } = this.#place;
		const layers = this.#parts.map(({ packed }) => packed);
		gpu.mover.gather(layers, geometry.headDim, rows, { row: 0, slot, length, tokens: length, base: 0 });
	}

	#scatter(rows: GPUBuffer, slot: number, length: number): void {
		const { gpu, geometry } = this.#place;
		const layers = this.#parts.map(({ packed }) => packed);
		gpu.mover.scatter(layers, geometry.headDim, rows, { row: 0, slot, length, tokens: length, base: 0 });
	}
}
