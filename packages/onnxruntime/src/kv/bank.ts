/**
 * Stores side by side: every layer's buffers of all places are one, so that neighbouring places are a batch without a
 * copy.
 */
import type { KvBank, KvShape, KvStore } from "@tok/runtime";
import type { Tensor } from "onnxruntime-common";
import { bytesOf, checkFresh, checkShape, copyOf, diskBytesOf, geometryOf, isInteger } from "./checks.ts";
import { Lease } from "./lease.ts";
import type { Cache, KvTensors } from "./memory.ts";
import type { FreshRows, Geometry, SegmentBuffers } from "./segment.ts";
import { allocate, SegmentStore, type StoreContext, tensorsOf } from "./store.ts";

/** Some neighbouring places. */
interface View {
	readonly segments: readonly SegmentBuffers<never>[];
	readonly tensors: KvTensors;
}

export class SegmentBank<Fresh extends FreshRows = FreshRows> implements KvBank {
	readonly context: StoreContext<Fresh>;
	readonly shape: KvShape;
	readonly size: number;
	readonly #geometry: Geometry;
	/** Per segment, of all places one after the other; undefined once disposed. */
	#buffers: SegmentBuffers<Fresh>[] | undefined;
	readonly #open = new Map<number, SegmentStore<Fresh>>();
	readonly #lease = new Lease();
	/** Those of the stores that a place has had last. */
	readonly #leases = new Map<number, Lease>();
	/** By "from-to": the same views and tensors from step to step. */
	readonly #views = new Map<string, View>();

	/** Allocates zeroed buffers. Throws when the shape is none, or exceeds the memory. */
	constructor(context: StoreContext<Fresh>, shape: KvShape, size: number) {
		const { resources, memory } = context;
		checkShape(resources, "createKvBank", shape, memory.formats);
		if (!isInteger(size, 1))
			throw resources.error(`createKvBank: expected a size that is an integer ≥ 1, got ${size}.`);
		this.context = context;
		this.shape = copyOf(shape);
		this.size = size;
		this.#geometry = geometryOf(shape);
		this.#buffers = allocate(context, shape, size);
		resources.stores.add(this);
	}

	get bytes(): number {
		return this.#buffers === undefined ? 0 : this.size * bytesOf(this.shape);
	}

	get diskBytes(): number {
		const isOnDisk = (segment: number): boolean => this.#buffers?.[segment]?.valuesOnDisk ?? false;
		return this.size * diskBytesOf(this.shape, isOnDisk);
	}

	open(place: number): KvStore {
		const buffers = this.#alive();
		if (!isInteger(place, 0) || place >= this.size || this.#open.has(place))
			throw this.context.resources.error(
				`open: expected a free place from 0 to ${this.size - 1}, got ${place}` +
					`${this.#open.has(place) ? ", which is taken. Dispose its store first" : ""}.`,
			);
		if (this.#leases.get(place)?.held)
			throw this.context.resources.error(
				`open: expected a place that nobody reads, got ${place}, whose last store is still read. Finish that first.`,
			);
		const segments = buffers.map((segment) => segment.neighbours(place, place + 1));
		for (const segment of segments) segment.clear();
		const lease = new Lease(this.#lease);
		this.#leases.set(place, lease);
		const store = new SegmentStore(this.context, this.#geometry, segments, {
			lease,
			leave: () => this.#open.delete(place),
		});
		this.#open.set(place, store);
		return store;
	}

	/** The places [from, to) as a run sees them. */
	places(from: number, to: number): Cache {
		const { segments, tensors } = this.#view(from, to);
		return {
			tensors,
			refresh: () => {
				for (const segment of segments) segment.refresh?.();
			},
			hold: () => this.#lease.hold(),
			release: () => this.#lease.release(),
			keep: (fresh) => this.#keep(fresh, from, to),
		};
	}

	dispose(): void {
		for (const store of [...this.#open.values()]) store.dispose();
		const segments = [
			...[...this.#views.values()].flatMap((view) => view.segments),
			...(this.#buffers ?? []),
		];
		this.#lease.end(() => {
			for (const segment of segments) segment.dispose();
		});
		this.#buffers = undefined;
		this.#views.clear();
		this.context.resources.stores.delete(this);
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	#view(from: number, to: number): View {
		const buffers = this.#alive();
		if (!isInteger(from, 0) || !isInteger(to, 1) || from >= to || to > this.size)
			throw this.context.resources.error(
				`run: expected places within 0 to ${this.size}, at least one, got ${from} to ${to}.`,
			);
		const name = `${from}-${to}`;
		const known = this.#views.get(name);
		if (known !== undefined) return known;
		const segments = buffers.map((segment) => segment.neighbours(from, to));
		const view = { segments, tensors: tensorsOf(segments, to - from) };
		this.#views.set(name, view);
		return view;
	}

	/** Leaves each open store of the places its rows of a run. */
	#keep(fresh: Tensor | undefined, from: number, to: number): void {
		const { resources, memory } = this.context;
		if (fresh !== undefined) checkFresh(resources, fresh.dims, this.#geometry, to - from);
		const rows = fresh && memory.freshRows(fresh, to - from);
		for (let place = from; place < to; place++) {
			const own = rows?.[place - from];
			const store = this.#open.get(place);
			if (store === undefined) own?.release();
			else store.keepRows(own);
		}
	}

	#alive(): SegmentBuffers<Fresh>[] {
		if (this.#buffers === undefined)
			throw this.context.resources.error("the key/value bank was disposed. Create a new one.");
		return this.#buffers;
	}
}
