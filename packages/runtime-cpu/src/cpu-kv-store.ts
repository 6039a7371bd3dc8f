/** A session's keys and values in host memory. onnxruntime reads the buffers in place. */
import { type KvShape, type KvStore, type KvWrite, kvNames, TokError } from "@tok/runtime";
import type * as ort from "onnxruntime-node";
import {
	bytesOf,
	checkShape,
	copyOf,
	freshRows,
	isInteger,
	type KvTensors,
	kvTensors,
} from "./kv-tensors.ts";
import type { Resources } from "./resources.ts";
import { type FreshRows, type Geometry, SegmentBuffers } from "./segment-buffers.ts";

export class CpuKvStore implements KvStore {
	/** The runtime to which the store belongs. */
	readonly resources: Resources;
	readonly #geometry: Geometry;
	/** Undefined once disposed. */
	#segments: SegmentBuffers[] | undefined;
	#tensors: KvTensors | undefined;
	#fresh: FreshRows | undefined;
	/** Frees its place in a bank, whose buffers it then has a part of; undefined for a store on its own. */
	readonly #leave: (() => void) | undefined;

	private constructor(
		geometry: Geometry,
		segments: SegmentBuffers[],
		resources: Resources,
		leave?: () => void,
	) {
		this.#geometry = geometry;
		this.#segments = segments;
		this.resources = resources;
		this.#leave = leave;
		// A bank accounts for its stores.
		if (leave === undefined) resources.stores.add(this);
	}

	/** Allocates zeroed buffers. Throws when the shape is none, or exceeds the memory limit. */
	static create(shape: KvShape, resources: Resources): CpuKvStore {
		checkShape("createKvStore", shape);
		resources.checkMemory(bytesOf(shape));
		const { slots, ...geometry } = copyOf(shape);
		const segments = slots.map((count, segment) => SegmentBuffers.zeros(geometry, segment, count));
		return new CpuKvStore(geometry, segments, resources);
	}

	/** A store over part of a bank's buffers; `leave` is called when it is disposed. */
	static inBank(
		geometry: Geometry,
		segments: SegmentBuffers[],
		resources: Resources,
		leave: () => void,
	): CpuKvStore {
		return new CpuKvStore(geometry, segments, resources, leave);
	}

	get shape(): KvShape {
		return copyOf({ ...this.#geometry, slots: (this.#segments ?? []).map(({ slots }) => slots) });
	}

	get bytes(): number {
		return (this.#segments ?? []).reduce((sum, segment) => sum + segment.bytes, 0);
	}

	/** The buffers as onnxruntime's tensors, by the names of `kvNames`; the same ones until a segment grows. */
	tensors(): KvTensors {
		const segments = this.#open();
		this.#tensors ??= kvTensors(segments, this.#geometry, 1);
		return this.#tensors;
	}

	/** Keeps a run's `fresh` output for `write`, or forgets the one before when a run left none. */
	keep(fresh: ort.Tensor | undefined): void {
		this.keepRows(fresh && freshRows(fresh, this.#geometry, 1)[0]);
	}

	keepRows(rows: FreshRows | undefined): void {
		this.#open();
		this.#fresh = rows;
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

	async readSlots(segment: number, slot: number, length: number): Promise<Float32Array> {
		return this.#slots("readSlots", segment, slot, length).readSlots(slot, length);
	}

	async writeSlots(segment: number, slot: number, rows: Float32Array): Promise<void> {
		const length = rows.length / (this.#open()[segment]?.rowLength ?? 1);
		this.#slots("writeSlots", segment, slot, length).writeSlots(slot, length, rows);
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
		if (this.#leave !== undefined)
			throw new TokError(
				"runtime-cpu",
				`grow: expected a store outside a bank, got ${slots} slots for one in a bank, whose buffers have their size.`,
			);
		this.resources.checkMemory(before.slotBytes * (slots - before.slots));
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
		this.#leave?.();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	/** The segment's buffers. Throws unless it has these slots. */
	#slots(action: string, segment: number, slot: number, length: number): SegmentBuffers {
		const segments = this.#open();
		const buffers = segments[segment];
		if (buffers !== undefined && isInteger(slot, 0) && isInteger(length, 0) && slot + length <= buffers.slots)
			return buffers;
		throw new TokError(
			"runtime-cpu",
			`${action}: expected whole rows and slots within ${buffers?.slots ?? `one of ${segments.length} segments`}, ` +
				`got ${length} rows at slot ${slot} of segment ${segment}.`,
		);
	}

	#open(): SegmentBuffers[] {
		if (this.#segments === undefined)
			throw new TokError("runtime-cpu", "the key/value store was disposed. Create a new one.");
		return this.#segments;
	}
}

/** Every buffer's bytes: layer, segment, key before value, codes before scales. */
function inFileOrder(segments: readonly SegmentBuffers[], { layers }: Geometry): Uint8Array[] {
	return Array.from({ length: layers }, (_, layer) =>
		segments.flatMap(({ parts }) => {
			const part = parts.find((each) => each.layer === layer);
			return [part?.key, part?.value].flatMap((entries) =>
				[entries?.data, entries?.scales].flatMap((data) => (data === undefined ? [] : asBytes(data))),
			);
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

function asBytes({ buffer, byteOffset, byteLength }: Float32Array | Int8Array): Uint8Array {
	return new Uint8Array(buffer, byteOffset, byteLength);
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
