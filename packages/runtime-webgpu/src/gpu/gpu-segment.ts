/**
 * One segment's keys and values in buffers of the GPU, where graphs read them in place. Fresh rows never leave it: a
 * shader moves them into their slots.
 */
import type { BufferFile, FreshRows, Geometry, SegmentBuffers, SegmentMemory } from "@tok/onnxruntime";
import { headCount, type KvPart, type KvWrite, kvNames, kvParts, kvSlotBytes } from "@tok/runtime";
import * as ort from "onnxruntime-web/webgpu";
import { type Gpu, LEAST_BYTES } from "./gpu.ts";
import type { LayerBuffers } from "./slot-mover.ts";
import type { GpuFormat } from "./slot-shader.ts";

/** Bytes of a number. */
const widths: Readonly<Record<GpuFormat, number>> = { float32: 4, float16: 2 };

export interface GpuRows extends FreshRows {
	/** Undefined when there are no tokens. */
	readonly buffer: GPUBuffer | undefined; // [batch, layers, 2, kvHeads, tokens, headDim]
	/** First number of this store's rows. */
	readonly base: number;
}

/** One layer's buffers. */
interface PartBuffers extends KvPart {
	readonly key: GPUBuffer;
	readonly value: GPUBuffer;
}

/** Buffers for a range of places of a bank that does not begin with the first: tensors begin where buffers do. */
interface Copies {
	readonly from: GPUBuffer;
	readonly to: GPUBuffer;
	readonly offset: number;
	readonly size: number;
}

/** The memory of a device, in formats that its graphs can read. */
export function gpuMemory(gpu: Gpu, formats: readonly GpuFormat[]): SegmentMemory<GpuRows> {
	return {
		formats,
		zeros: (geometry, segment, slots, copies) =>
			GpuSegment.zeros(placeOf(gpu, geometry, segment), slots, copies),
		freshRows(fresh, batch) {
			const { dims } = fresh;
			const size = dims.reduce((product, dim) => product * dim, 1);
			// Without tokens there is no buffer, and nothing that a write could take.
			const rows = size === 0 ? undefined : gpu.copyRows(fresh.gpuBuffer as GPUBuffer, 4 * size);
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
	readonly format: GpuFormat;
}

function placeOf(gpu: Gpu, geometry: Geometry, segment: number): Place {
	return { gpu, geometry, segment, format: (geometry.kinds?.[segment]?.format ?? "float32") as GpuFormat };
}

class GpuSegment implements SegmentBuffers<GpuRows> {
	readonly slots: number;
	readonly #place: Place;
	readonly #parts: readonly PartBuffers[];
	/** As the mover takes them. */
	readonly #fresh: readonly LayerBuffers[];
	readonly #packed: readonly LayerBuffers[];
	/** Segments that lie in the buffers before this one. */
	readonly #before: number;
	/** Segments that this one stands for; undefined when it owns its buffers. */
	readonly #neighbours: number | undefined;
	readonly #copies: Copies[] = [];

	private constructor(
		place: Place,
		slots: number,
		parts: readonly PartBuffers[],
		{ before, neighbours }: { readonly before: number; readonly neighbours: number | undefined },
	) {
		this.#place = place;
		this.slots = slots;
		this.#before = before;
		this.#neighbours = neighbours;
		const { format } = place;
		const { mover } = place.gpu;
		const { kvHeads, headDim } = place.geometry;
		this.#parts = parts;
		const layers = (
			layout: (part: PartBuffers) => readonly [plane: number, values: number, heads: readonly number[]],
		) =>
			parts.map((part): LayerBuffers => {
				const { key, value } = part;
				const [plane, values, heads] = layout(part);
				const fields = [plane, values, headDim, slots, heads.length, before * heads.length];
				return { key, value, layout: mover.layout(fields, heads), heads: heads.length, format };
			});
		this.#fresh = layers(({ layer, heads }) => [layer * 2 * kvHeads, kvHeads, heads]);
		let plane = 0;
		this.#packed =
			headCount(parts) === place.geometry.layers * kvHeads
				? this.#fresh
				: layers(({ heads }) => {
						const own = [plane, heads.length, [...heads.keys()]] as const;
						plane += 2 * heads.length;
						return own;
					});
	}

	static zeros(place: Place, slots: number, copies: number): GpuSegment {
		const { gpu, geometry, segment, format } = place;
		const made: GPUBuffer[] = [];
		const buffer = (numbers: number): GPUBuffer => {
			const one = gpu.storage(Math.max(LEAST_BYTES, widths[format] * numbers));
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

	addTensors(tensors: Record<string, ort.Tensor>, batch: number): void {
		const { gpu, geometry, segment, format } = this.#place;
		for (const { layer, heads, key, value } of this.#parts) {
			const add = (name: string, buffer: GPUBuffer, ...last: number[]): void => {
				const dims = [batch, heads.length, 1, ...last];
				let gpuBuffer = buffer;
				if (this.#before > 0) {
					const { offset, size } = this.#range(heads.length);
					gpuBuffer = gpu.storage(Math.max(LEAST_BYTES, size));
					this.#copies.push({ from: buffer, to: gpuBuffer, offset, size });
				}
				tensors[name] = ort.Tensor.fromGpuBuffer(gpuBuffer, { dataType: format, dims });
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
		gpu.mover.scatter(this.#fresh, geometry.headDim, buffer, { row, slot, length, tokens, base });
	}

	async readSlots(slot: number, length: number): Promise<Float32Array> {
		const { gpu } = this.#place;
		const bytes = this.#rowBytes(length);
		if (bytes === 0) return new Float32Array(0);
		const rows = gpu.rows.take(bytes);
		try {
			this.#gather(rows, slot, length);
			const [content] = await gpu.download([{ buffer: rows, offset: 0, size: bytes }]);
			return new Float32Array(content as ArrayBuffer);
		} finally {
			gpu.rows.giveBack(rows);
		}
	}

	writeSlots(slot: number, length: number, rows: Float32Array): void {
		if (rows.length === 0) return;
		const { gpu } = this.#place;
		const buffer = gpu.rows.take(rows.byteLength);
		gpu.device.queue.writeBuffer(buffer, 0, rows as Float32Array<ArrayBuffer>);
		this.#scatter(buffer, slot, length);
		gpu.rows.giveBack(buffer);
	}

	grown(slots: number): GpuSegment {
		const larger = GpuSegment.zeros(this.#place, slots, 1);
		const bytes = this.#rowBytes(this.slots);
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
			read: async () => {
				const [content] = await gpu.download([{ buffer, offset, size }]);
				return new Uint8Array(content as ArrayBuffer);
			},
			target: () => new Uint8Array(size),
			replace: (target) => gpu.device.queue.writeBuffer(buffer, offset, target as Uint8Array<ArrayBuffer>),
		}));
	}

	dispose(): void {
		const { gpu } = this.#place;
		for (const { to } of this.#copies) gpu.destroy(to);
		for (const { layout } of [...this.#fresh, ...this.#packed]) layout.destroy();
		if (this.#neighbours !== undefined) return;
		for (const { key, value } of this.#parts) {
			gpu.destroy(key);
			gpu.destroy(value);
		}
	}

	/** Bytes of so many slots as rows, which are float32. */
	#rowBytes(slots: number): number {
		const { geometry, segment, format } = this.#place;
		return (slots * kvSlotBytes(geometry, segment) * widths.float32) / widths[format];
	}

	/** Bytes of a part with so many heads in its buffers. */
	#range(heads: number): { readonly offset: number; readonly size: number } {
		const { geometry, format } = this.#place;
		const one = widths[format] * heads * this.slots * geometry.headDim;
		return { offset: this.#before * one, size: (this.#neighbours ?? 1) * one };
	}

	#gather(rows: GPUBuffer, slot: number, length: number): void {
		const { gpu, geometry } = this.#place;
		gpu.mover.gather(this.#packed, geometry.headDim, rows, { row: 0, slot, length, tokens: length, base: 0 });
	}

	#scatter(rows: GPUBuffer, slot: number, length: number): void {
		const { gpu, geometry } = this.#place;
		gpu.mover.scatter(this.#packed, geometry.headDim, rows, {
			row: 0,
			slot,
			length,
			tokens: length,
			base: 0,
		});
	}
}
