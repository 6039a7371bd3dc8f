/** The stores of one runtime, as it makes them and as its runs see them. */
import type { KvBank, KvPlaces, KvShape, KvStore } from "@tok/runtime";
import type { Tensor } from "onnxruntime-common";
import { SegmentBank } from "./bank.ts";
import type { FreshRows } from "./segment.ts";
import { SegmentStore, type StoreContext } from "./store.ts";

/** By the names of `kvNames`. */
export type KvTensors = Readonly<Record<string, Tensor>>;

/** A store, or places of a bank, in a run. */
export interface Cache {
	/** What feeds `past.*`: the same object from run to run, for as long as the buffers are the same. */
	readonly tensors: KvTensors;
	/** Called before the run. */
	refresh?(): void;
	/** Keeps the buffers through a run, until its `release`, whatever is disposed meanwhile. */
	hold(): void;
	release(): void;
	/** Takes what the run left as `fresh`; undefined when it left nothing. */
	keep(fresh: Tensor | undefined): void;
}

/** What runs need of it. */
export interface RunMemory {
	/** Throws when the store is another runtime's. */
	ofStore(store: KvStore): Cache;
	/** Throws when the bank is another runtime's, or has no such places. */
	ofPlaces(places: KvPlaces): Cache;
}

/** Makes stores, and knows its own. */
export class KvMemory<Fresh extends FreshRows = FreshRows> implements RunMemory {
	readonly #context: StoreContext<Fresh>;

	constructor(context: StoreContext<Fresh>) {
		this.#context = context;
	}

	get valuesOnDisk(): boolean {
		return this.#context.memory.valuesOnDisk ?? false;
	}

	createStore(shape: KvShape): KvStore {
		return SegmentStore.create(this.#context, shape);
	}

	createBank(shape: KvShape, size: number): KvBank {
		return new SegmentBank(this.#context, shape, size);
	}

	ofStore(store: KvStore): Cache {
		if (store instanceof SegmentStore && store.context === this.#context) return store;
		throw this.#foreign("store", "createKvStore");
	}

	ofPlaces({ bank, from, to }: KvPlaces): Cache {
		if (bank instanceof SegmentBank && bank.context === this.#context) return bank.places(from, to);
		throw this.#foreign("bank", "createKvBank");
	}

	#foreign(what: string, remedy: string): Error {
		return this.#context.resources.error(
			`run: expected a ${what} that this runtime created, got another. Use runtime.${remedy}.`,
		);
	}
}
