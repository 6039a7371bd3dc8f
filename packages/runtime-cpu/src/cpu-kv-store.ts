/** A session's keys and values in host memory. onnxruntime reads the buffers in place. */
import { type KvShape, type KvStore, type KvWrite, kvNames, TokError } from "@tok/runtime";
import * as ort from "onnxruntime-node";
import type { Resources } from "./resources.ts";
import { type FreshRows, type Geometry, SegmentBuffers } from "./segment-buffers.ts";

export class CpuKvStore implements KvStore {
	/** The runtime to which the store belongs. */
	readonly resources: Resources;
	readonly #geometry: Geometry;
	/** Undefined once disposed. */
	#segments: SegmentBuffers[] | undefined;
	#tensors: Readonly<Record<string, ort.Tensor>> | undefined;
	#fresh: FreshRows | undefined;

	private constructor(geometry: Geometry, segments: SegmentBuffers[], resources: Resources) {
		this.#geometry = geometry;
		this.#segments = segments;
		this.resources = resources;
		resources.stores.add(this);
	}

	/** Allocates zeroed buffers. Throws when the shape is none, or exceeds the memory limit. */
	static create({ slots, ...geometry }: KvShape, resources: Resources): CpuKvStore {
		checkShape({ slots, ...geometry });
		resources.checkMemory(slots.reduce((sum, count) => sum + bytesOfSlots(geometry, count), 0));
		const segments = slots.map((count) => SegmentBuffers.zeros(geometry, count));
		return new CpuKvStore(geometry, segments, resources);
	}

	get shape(): KvShape {
		return { ...this.#geometry, slots: (this.#segments ?? []).map(({ slots }) => slots) };
	}

	get bytes(): number {
		return this.shape.slots.reduce((sum, slots) => sum + bytesOfSlots(this.#geometry, slots), 0);
	}

	/** The buffers as onnxruntime's tensors, by the names of `kvNames`; the same ones until a segment grows. */
	tensors(): Readonly<Record<string, ort.Tensor>> {
		const segments = this.#open();
		this.#tensors ??= wrap(segments, this.#geometry);
		return this.#tensors;
	}

	/** Keeps a run's `fresh` output for `write`, or forgets the one before when a run left none. */
	keep(fresh: ort.Tensor | undefined): void {
		this.#open();
		this.#fresh = fresh && this.#rowsOf(fresh);
	}

	async write(writes: readonly KvWrite[]): Promise<void> {
		const segments = this.#open();
		const fresh = this.#fresh;
		if (fresh === undefined)
			throw new TokError(
				"runtime-cpu",
				`write: expected ${kvNames.fresh} rows, got none. Run a graph with this store first.`,
			);
		for (const write of writes) checkWrite(write, fresh.tokens, segments[write.segment]?.slots);
		for (const write of writes) segments[write.segment]?.write(write, fresh);
		this.#fresh = undefined;
	}

	grow(segment: number, slots: number): void {
		const segments = this.#open();
		const before = segments[segment];
		if (before === undefined || !Number.isSafeInteger(slots) || slots < before.slots)
			throw new TokError(
				"runtime-cpu",
				`grow: expected ${before === undefined ? `a segment below ${segments.length}` : `an integer ≥ ${before.slots}`}, ` +
					`got ${slots} slots for segment ${segment}. Buffers never shrink.`,
			);
		if (slots === before.slots) return;
		this.resources.checkMemory(bytesOfSlots(this.#geometry, slots - before.slots));
		segments[segment] = before.grown(slots);
		this.#tensors = undefined;
	}

	fork(): KvStore {
		const segments = this.#open();
		this.resources.checkMemory(this.bytes);
		const copies = segments.map((segment) => segment.clone());
		return new CpuKvStore(this.#geometry, copies, this.resources);
	}

	async *read(): AsyncIterable<Uint8Array> {
		for (const buffer of inFileOrder(this.#open(), this.#geometry)) yield buffer;
	}

	async load(bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
		const targets = inFileOrder(this.#open(), this.#geometry);
		this.#fresh = undefined;
		const got = await fill(targets, bytes);
		if (got !== this.bytes)
			throw new TokError(
				"runtime-cpu",
				`load: expected ${this.bytes} bytes of keys and values, got ${got < this.bytes ? "only" : "at least"} ${got}. ` +
					"They belong to another shape, or were cut.",
			);
	}

	dispose(): void {
		this.#segments = undefined;
		this.#tensors = undefined;
		this.#fresh = undefined;
		this.resources.stores.delete(this);
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	#open(): SegmentBuffers[] {
		if (this.#segments === undefined)
			throw new TokError("runtime-cpu", "the key/value store was disposed. Create a new one.");
		return this.#segments;
	}

	#rowsOf({ data, dims }: ort.Tensor): FreshRows {
		const { layers, kvHeads, headDim } = this.#geometry;
		const [batch, heads, tokens, width] = dims;
		const planes = layers * 2 * kvHeads;
		if (dims.length !== 4 || batch !== 1 || heads !== planes || tokens === undefined || width !== headDim)
			throw new TokError(
				"runtime-cpu",
				`${kvNames.fresh}: expected [1, ${planes}, tokens, ${headDim}], got [${dims.join(", ")}]. ` +
					"Create the store with the shape of this graph.",
			);
		return { data: data as Float32Array, tokens };
	}
}

function wrap(
	segments: readonly SegmentBuffers[],
	{ kvHeads, headDim }: Geometry,
): Record<string, ort.Tensor> {
	const tensors: Record<string, ort.Tensor> = {};
	segments.forEach(({ slots, layers }, segment) => {
		layers.forEach(({ key, value }, layer) => {
			const [keyDims, valueDims] = [
				[1, kvHeads, 1, headDim, slots],
				[1, kvHeads, 1, slots, headDim],
			];
			tensors[kvNames.key(segment, layer)] = new ort.Tensor("float32", key, keyDims);
			tensors[kvNames.value(segment, layer)] = new ort.Tensor("float32", value, valueDims);
		});
	});
	return tensors;
}

/** Every buffer's bytes: layer, segment, key before value. */
function inFileOrder(segments: readonly SegmentBuffers[], { layers }: Geometry): Uint8Array[] {
	return Array.from({ length: layers }, (_, layer) =>
		segments.flatMap((segment) => {
			const buffers = segment.layers[layer];
			return buffers === undefined ? [] : [asBytes(buffers.key), asBytes(buffers.value)];
		}),
	).flat();
}

/** Fills the targets in turn. Returns how many bytes came, at the latest when there are too many. */
async function fill(
	targets: readonly Uint8Array[],
	bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number> {
	let [index, offset, got] = [0, 0, 0];
	for await (let part of bytes) {
		got += part.length;
		while (part.length > 0) {
			const target = targets[index];
			if (target === undefined) return got;
			const count = Math.min(part.length, target.length - offset);
			target.set(part.subarray(0, count), offset);
			part = part.subarray(count);
			offset += count;
			if (offset === target.length) [index, offset] = [index + 1, 0];
		}
	}
	return got;
}

function asBytes({ buffer, byteOffset, byteLength }: Float32Array): Uint8Array {
	return new Uint8Array(buffer, byteOffset, byteLength);
}

function bytesOfSlots({ layers, kvHeads, headDim }: Geometry, slots: number): number {
	return layers * kvHeads * headDim * 2 * 4 * slots; // keys and values, float32
}

function checkShape(shape: KvShape): void {
	const { layers, kvHeads, headDim, slots } = shape;
	const counts = [layers, kvHeads, headDim];
	if (!counts.every((n) => isInteger(n, 1)) || !slots.every((n) => isInteger(n, 0)))
		throw new TokError(
			"runtime-cpu",
			`createKvStore: expected integers ≥ 1 for layers, kvHeads and headDim and ≥ 0 for slots, got ${JSON.stringify(shape)}.`,
		);
}

function checkWrite(
	{ segment, row, slot, length }: KvWrite,
	tokens: number,
	slots: number | undefined,
): void {
	const integers = [row, slot, length].every((n) => isInteger(n, 0));
	if (!integers || slots === undefined || row + length > tokens || slot + length > slots)
		throw new TokError(
			"runtime-cpu",
			`write: expected rows within ${tokens} and slots within ${slots ?? "a known segment"}, ` +
				`got ${length} rows from row ${row} into slot ${slot} of segment ${segment}.`,
		);
}

function isInteger(n: number, least: number): boolean {
	return Number.isSafeInteger(n) && n >= least;
}
