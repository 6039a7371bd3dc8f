/** A session's keys and values: the rules of a store, over buffers in any memory. */
import { type KvShape, type KvStore, type KvWrite, kvNames } from "@tok/runtime";
import type { Tensor } from "onnxruntime-common";
import type { Resources } from "../resources.ts";
import {
	bytesOf,
	checkFresh,
	checkShape,
	checkWrite,
	copyOf,
	diskBytesOf,
	geometryOf,
	isInteger,
	memoryBytesOf,
	rowLength,
} from "./checks.ts";
import { Lease } from "./lease.ts";
import type { Cache, KvTensors } from "./memory.ts";
import type { BufferFile, FreshRows, Geometry, SegmentBuffers, SegmentMemory } from "./segment.ts";

/** What the stores of one runtime share. */
export interface StoreContext<Fresh extends FreshRows> {
	readonly resources: Resources;
	readonly memory: SegmentMemory<Fresh>;
}

export class SegmentStore<Fresh extends FreshRows = FreshRows> implements KvStore, Cache {
	readonly context: StoreContext<Fresh>;
	readonly #geometry: Geometry;
	/** Undefined once disposed. */
	#segments: SegmentBuffers<Fresh>[] | undefined;
	#tensors: KvTensors | undefined;
	#fresh: Fresh | undefined;
	readonly #lease: Lease;
	/** Frees its place in a bank, whose buffers it then has a part of; undefined for a store on its own. */
	readonly #leave: (() => void) | undefined;

	/** @param bank for a store over part of a bank's buffers, with what is called when it is disposed. */
	constructor(
		context: StoreContext<Fresh>,
		geometry: Geometry,
		segments: SegmentBuffers<Fresh>[],
		bank?: { readonly lease: Lease; readonly leave: () => void },
	) {
		this.context = context;
		this.#geometry = geometry;
		this.#segments = segments;
		this.#lease = bank?.lease ?? new Lease();
		this.#leave = bank?.leave;
		// A bank accounts for its stores.
		if (bank === undefined) context.resources.stores.add(this);
	}

	/** Allocates zeroed buffers. Throws when the shape is none, or exceeds the memory. */
	static create<Fresh extends FreshRows>(context: StoreContext<Fresh>, shape: KvShape): SegmentStore<Fresh> {
		const { resources, memory } = context;
		checkShape(resources, "createKvStore", shape, memory.formats);
		return new SegmentStore(context, geometryOf(shape), allocate(context, shape, 1));
	}

	get shape(): KvShape {
		return copyOf({ ...this.#geometry, slots: (this.#segments ?? []).map(({ slots }) => slots) });
	}

	get bytes(): number {
		return bytesOf(this.shape);
	}

	get diskBytes(): number {
		return diskBytesOf(this.shape, (segment) => this.#segments?.[segment]?.valuesOnDisk ?? false);
	}

	/** The same ones until a segment grows. */
	get tensors(): KvTensors {
		const segments = this.#open();
		this.#tensors ??= tensorsOf(segments, 1);
		return this.#tensors;
	}

	hold(): void {
		this.#lease.hold();
	}

	release(): void {
		this.#lease.release();
	}

	keep(fresh: Tensor | undefined): void {
		this.#open();
		const { resources, memory } = this.context;
		if (fresh !== undefined) checkFresh(resources, fresh.dims, this.#geometry, 1);
		this.keepRows(fresh && memory.freshRows(fresh, 1)[0]);
	}

	/** Keeps a run's rows for `write`, in place of those of the run before. */
	keepRows(rows: Fresh | undefined): void {
		this.#forget();
		this.#fresh = rows;
	}

	async write(writes: readonly KvWrite[]): Promise<void> {
		const segments = this.#open();
		const { resources } = this.context;
		const fresh = this.#fresh;
		if (fresh === undefined)
			throw resources.error(
				`write: expected ${kvNames.fresh} rows, got none. Run a graph with this store first.`,
			);
		for (const write of writes) checkWrite(resources, write, fresh.tokens, segments[write.segment]?.slots);
		for (const write of writes) segments[write.segment]?.write(write, fresh);
		this.#forget();
	}

	async readSlots(segment: number, slot: number, length: number): Promise<Float32Array> {
		return this.#slots("readSlots", segment, slot, length).readSlots(slot, length);
	}

	async writeSlots(segment: number, slot: number, rows: Float32Array): Promise<void> {
		this.#open();
		const length = rows.length / rowLength(this.#geometry, segment);
		this.#slots("writeSlots", segment, slot, length).writeSlots(slot, length, rows);
	}

	grow(segment: number, slots: number): void {
		const segments = this.#open();
		const { resources } = this.context;
		const before = segments[segment];
		if (before === undefined || !Number.isSafeInteger(slots) || slots < before.slots)
			throw resources.error(
				`grow: expected ${before === undefined ? `a segment below ${segments.length}` : `an integer ≥ ${before.slots}`}, ` +
					`got ${slots} slots for segment ${segment}. Buffers never shrink.`,
			);
		if (slots === before.slots) return;
		if (this.#leave !== undefined)
			throw resources.error(
				`grow: expected a store outside a bank, got ${slots} slots for one in a bank, whose buffers have their size.`,
			);
		const alone = (count: number): KvShape => ({
			...this.#geometry,
			slots: segments.map((each) => (each === before ? count : 0)),
		});
		const had = memoryBytesOf(alone(before.slots), before.valuesOnDisk === true);
		const more = (onDisk: boolean): number => memoryBytesOf(alone(slots), onDisk) - had;
		const [grown = before] = within(this.context, more, [() => before.grown(slots)]);
		segments[segment] = grown;
		this.#tensors = undefined;
		this.#lease.end(() => before.dispose());
	}

	fork(): KvStore {
		const segments = this.#open();
		const needed = (onDisk: boolean): number => memoryBytesOf(this.shape, onDisk);
		const makes = segments.map((segment) => () => segment.grown(segment.slots));
		const copies = within(this.context, needed, makes);
		return new SegmentStore(this.context, this.#geometry, copies);
	}

	async *read(): AsyncIterable<Uint8Array> {
		const files = inFileOrder(this.#open(), this.#geometry);
		this.#lease.hold();
		try {
			for (const file of files) yield file.read();
		} finally {
			this.#lease.release();
		}
	}

	async load(bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
		const files = inFileOrder(this.#open(), this.#geometry);
		this.#forget();
		this.#lease.hold();
		const got = await fill(files, bytes).finally(() => this.#lease.release());
		this.#open();
		if (got !== this.bytes)
			throw this.context.resources.error(
				`load: expected ${this.bytes} bytes of keys and values, got ${got < this.bytes ? "only" : "at least"} ${got}. ` +
					"They belong to another shape, or were cut.",
			);
	}

	dispose(): void {
		const segments = this.#segments;
		// Twice would free a place of a bank that is another's by now.
		if (segments === undefined) return;
		this.#forget();
		this.#lease.end(() => {
			for (const segment of segments) segment.dispose();
		});
		this.#segments = undefined;
		this.#tensors = undefined;
		this.context.resources.stores.delete(this);
		this.#leave?.();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	#forget(): void {
		this.#fresh?.release();
		this.#fresh = undefined;
	}

	/** The segment's buffers. Throws unless it has these slots. */
	#slots(action: string, segment: number, slot: number, length: number): SegmentBuffers<Fresh> {
		const segments = this.#open();
		const buffers = segments[segment];
		if (buffers !== undefined && isInteger(slot, 0) && isInteger(length, 0) && slot + length <= buffers.slots)
			return buffers;
		throw this.context.resources.error(
			`${action}: expected whole rows and slots within ${buffers?.slots ?? `one of ${segments.length} segments`}, ` +
				`got ${length} rows at slot ${slot} of segment ${segment}.`,
		);
	}

	#open(): SegmentBuffers<Fresh>[] {
		if (this.#segments === undefined)
			throw this.context.resources.error("the key/value store was disposed. Create a new one.");
		return this.#segments;
	}
}

/** Buffers of zeros for every segment. Throws a TokError when there is no memory for them. */
export function allocate<Fresh extends FreshRows>(
	context: StoreContext<Fresh>,
	shape: KvShape,
	copies: number,
): SegmentBuffers<Fresh>[] {
	const { slots, ...geometry } = copyOf(shape);
	const all = { ...geometry, slots: slots.map((count) => copies * count) };
	const needed = (onDisk: boolean): number => memoryBytesOf(all, onDisk);
	const makes = slots.map((count, segment) => () => context.memory.zeros(geometry, segment, count, copies));
	return within(context, needed, makes);
}

export function tensorsOf(segments: readonly SegmentBuffers<never>[], batch: number): KvTensors {
	const tensors: Record<string, Tensor> = {};
	for (const segment of segments) segment.addTensors(tensors, batch);
	return tensors;
}

/**
 * Makes buffers, all or none. Throws a TokError, before memory is taken, when there is not enough of it.
 *
 * @param needed Bytes of memory that they take, depending on whether sparse values go to disk.
 */
function within<Fresh extends FreshRows>(
	{ resources, memory }: StoreContext<Fresh>,
	needed: (onDisk: boolean) => number,
	makes: readonly (() => SegmentBuffers<Fresh>)[],
): SegmentBuffers<Fresh>[] {
	const onDisk = (): boolean => memory.valuesOnDisk === true;
	const attempt = (): SegmentBuffers<Fresh>[] => {
		resources.checkMemory(needed(onDisk()));
		return makeAll(resources, makes);
	};
	const before = onDisk();
	try {
		return attempt();
	} catch (error) {
		// A disk that has failed meanwhile has said so, and leaves to memory what was to lie there.
		if (onDisk() === before) throw error;
		return attempt();
	}
}

function makeAll<Fresh extends FreshRows>(
	resources: Resources,
	makes: readonly (() => SegmentBuffers<Fresh>)[],
): SegmentBuffers<Fresh>[] {
	const made: SegmentBuffers<Fresh>[] = [];
	try {
		for (const make of makes) made.push(make());
		return made;
	} catch (cause) {
		for (const buffers of made) buffers.dispose();
		if (!(cause instanceof RangeError)) throw cause;
		throw resources.error(
			`expected memory for the keys and values, got none (${cause.message}). Choose a smaller window.`,
			{ cause },
		);
	}
}

/** Every buffer: layer, segment, key before value, codes before scales. */
function inFileOrder(segments: readonly SegmentBuffers<never>[], { layers }: Geometry): BufferFile[] {
	return Array.from({ length: layers }, (_, layer) =>
		segments.flatMap((segment) => segment.files(layer)),
	).flat();
}

/** Fills the buffers in turn. Returns how many bytes came, at the latest when there are too many. */
async function fill(
	files: readonly BufferFile[],
	bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): Promise<number> {
	let [index, offset, got] = [0, 0, 0];
	let target: Uint8Array | undefined;
	for await (let part of bytes) {
		got += part.length;
		while (part.length > 0) {
			const file = files[index];
			if (file === undefined) return got;
			target ??= file.target();
			const count = Math.min(part.length, file.byteLength - offset);
			target.set(part.subarray(0, count), offset);
			part = part.subarray(count);
			offset += count;
			if (offset < file.byteLength) continue;
			file.replace(target);
			target = undefined;
			[index, offset] = [index + 1, 0];
		}
	}
	return got;
}
