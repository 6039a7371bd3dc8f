/**
 * Stores side by side: every layer's buffers of all places are one array, so that neighbouring places are a batch
 * without a copy.
 */
import { type KvBank, type KvShape, type KvStore, TokError } from "@tok/runtime";
import type * as ort from "onnxruntime-node";
import { CpuKvStore } from "./cpu-kv-store.ts";
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
import { type Geometry, SegmentBuffers } from "./segment-buffers.ts";

export class CpuKvBank implements KvBank {
	/** The runtime to which the bank belongs. */
	readonly resources: Resources;
	readonly shape: KvShape;
	readonly size: number;
	readonly #geometry: Geometry;
	/** Per segment, of all places one after the other; undefined once disposed. */
	#buffers: SegmentBuffers[] | undefined;
	readonly #open = new Map<number, CpuKvStore>();
	/** By "from-to": the same tensors from step to step. */
	readonly #tensors = new Map<string, KvTensors>();

	/** Allocates zeroed buffers. Throws when the shape is none, or exceeds the memory limit. */
	constructor(shape: KvShape, size: number, resources: Resources) {
		checkShape("createKvBank", shape);
		if (!isInteger(size, 1))
			throw new TokError("runtime-cpu", `createKvBank: expected a size that is an integer ≥ 1, got ${size}.`);
		const { slots, ...geometry } = copyOf(shape);
		this.shape = copyOf(shape);
		this.size = size;
		this.resources = resources;
		this.#geometry = geometry;
		resources.checkMemory(size * bytesOf(shape));
		this.#buffers = slots.map((count, segment) => SegmentBuffers.zeros(geometry, segment, count, size));
		resources.stores.add(this);
	}

	get bytes(): number {
		return this.#buffers === undefined ? 0 : this.size * bytesOf(this.shape);
	}

	open(place: number): KvStore {
		const buffers = this.#alive();
		if (!isInteger(place, 0) || place >= this.size || this.#open.has(place))
			throw new TokError(
				"runtime-cpu",
				`open: expected a free place from 0 to ${this.size - 1}, got ${place}` +
					`${this.#open.has(place) ? ", which is taken. Dispose its store first" : ""}.`,
			);
		const segments = buffers.map((segment) => segment.neighbours(place, place + 1));
		for (const segment of segments) segment.clear();
		const store = CpuKvStore.inBank(this.#geometry, segments, this.resources, () => this.#open.delete(place));
		this.#open.set(place, store);
		return store;
	}

	/** The buffers of the places [from, to). */
	tensors(from: number, to: number): KvTensors {
		const buffers = this.#alive();
		if (!isInteger(from, 0) || !isInteger(to, 1) || from >= to || to > this.size)
			throw new TokError(
				"runtime-cpu",
				`run: expected places within 0 to ${this.size}, at least one, got ${from} to ${to}.`,
			);
		const name = `${from}-${to}`;
		const known = this.#tensors.get(name);
		if (known !== undefined) return known;
		const views = buffers.map((segment) => segment.neighbours(from, to));
		const tensors = kvTensors(views, this.#geometry, to - from);
		this.#tensors.set(name, tensors);
		return tensors;
	}

	/** Leaves each open store of the places [from, to) its rows of a run. */
	keep(fresh: ort.Tensor | undefined, from: number, to: number): void {
		const rows = fresh && freshRows(fresh, this.#geometry, to - from);
		for (let place = from; place < to; place++) this.#open.get(place)?.keepRows(rows?.[place - from]);
	}

	dispose(): void {
		for (const store of [...this.#open.values()]) store.dispose();
		this.#buffers = undefined;
		this.#tensors.clear();
		this.resources.stores.delete(this);
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	#alive(): SegmentBuffers[] {
		if (this.#buffers === undefined)
			throw new TokError("runtime-cpu", "the key/value bank was disposed. Create a new one.");
		return this.#buffers;
	}
}
