/**
 * The runtime specification: what tok asks of anything that executes its graphs. No backend.
 *
 * A runtime executes ONNX graphs and owns the memory of key/value stores. A graph takes the cache as inputs and
 * returns only the fresh keys and values; `KvStore.write` moves those into the slots that a plan names.
 * SPEC.md has the rules in full; `@tok/runtime/conformance` checks them.
 */

export type DType = "float32" | "float16" | "int64" | "int32" | "uint8" | "int8" | "bool";

export interface TypedArrays {
	float32: Float32Array;
	float16: Uint16Array;
	int64: BigInt64Array;
	int32: Int32Array;
	uint8: Uint8Array;
	int8: Int8Array;
	bool: Uint8Array;
}

/** A tensor in host memory, row-major. Runtimes read `data` until a run's promise settles, and never keep it. */
export interface Tensor<D extends DType = DType> {
	readonly dtype: D;
	readonly dims: readonly number[];
	readonly data: TypedArrays[D];
}

/**
 * Names by which graphs and stores meet.
 * Inputs, per segment and layer: keys [batch, kvHeads, 1, headDim, slots], values [batch, kvHeads, 1, slots, headDim].
 * In the format float16 those. In the format int8 the codes, and besides their scales, keys' [batch, kvHeads, 1, 1,
 * slots], values' [batch, kvHeads, 1, slots, 1]. A segment that has some heads alone has as many in place of kvHeads.
 * Output: [batch, layers · 2 · kvHeads, tokens, headDim], per layer its rotated keys and then its values.
 * Keys lie with their slots innermost, so that query · keyᵀ is a plain MatMul on every backend; along the axis of
 * length 1 they broadcast to the query heads of their group.
 */
export const kvNames = {
	key: (segment: number, layer: number): string => `past.${segment}.${layer}.key`,
	value: (segment: number, layer: number): string => `past.${segment}.${layer}.value`,
	keyScale: (segment: number, layer: number): string => `past.${segment}.${layer}.key_scale`,
	valueScale: (segment: number, layer: number): string => `past.${segment}.${layer}.value_scale`,
	fresh: "fresh",
} as const;

/**
 * A serialised ONNX graph. Weights that lie outside the protobuf are named by `path` in the graph. A runtime keeps
 * neither once the graph is loaded.
 */
export interface GraphFile {
	readonly model: Uint8Array;
	readonly weights?: readonly {
		readonly path: string;
		readonly data: Uint8Array;
	}[];
}

export interface GraphSession {
	readonly inputNames: readonly string[];
	readonly outputNames: readonly string[];
	/**
	 * Runs the graph once. Feeds are host tensors; a store adds its buffers for every `past.*` input.
	 * Outputs come back in host memory, except `fresh` when a store is given: it stays where it is until
	 * `store.write` takes it. Throws a TokError that names the input or output when one is missing, unknown, or of
	 * another dtype, shape or length than the graph's (SPEC.md R6, R7, R12).
	 */
	run(feeds: Readonly<Record<string, Tensor>>, options?: RunOptions): Promise<Record<string, Tensor>>;
	/** Waits for runs under way, then frees the graph. Twice is fine. */
	dispose(): Promise<void>;
	[Symbol.asyncDispose](): Promise<void>;
}

export interface RunOptions {
	/** The key/value store whose buffers feed `past.*` and which keeps `fresh`. */
	readonly store?: KvStore;
	/** Instead of one store, neighbouring places of a bank: row i of the batch is place `from + i`. */
	readonly places?: KvPlaces;
	/** Output names to fetch. Defaults to all. */
	readonly outputs?: readonly string[];
}

/** The tensors of one session's cache: `layers` × segments, keys and values. */
export interface KvShape {
	readonly layers: number;
	readonly kvHeads: number;
	readonly headDim: number;
	/** Slots of each segment's buffers, in the policy's order. */
	readonly slots: readonly number[];
	/** Per segment, in what its buffers differ from float32 in every head of every layer. Defaults to in nothing. */
	readonly kinds?: readonly (KvKind | undefined)[];
}

export interface KvKind {
	/** The heads that have buffers of the segment, layers ascending. Defaults to all of every layer. */
	readonly parts?: readonly KvPart[];
	/** Defaults to "float32". */
	readonly format?: KvFormat;
	/**
	 * Runs read a few of its values, those of what they choose by its keys, so a runtime may keep values where reading
	 * takes longer. Defaults to false.
	 */
	readonly sparseValues?: boolean;
}

/** Key/value heads of one layer, ascending. */
export interface KvPart {
	readonly layer: number;
	readonly heads: readonly number[];
}

/**
 * "float16": the nearest ones. "int8": code · scale, one scale per entry and head, such that its largest magnitude has
 * the `largestCode`. Rows that are written, and those that are read, are float32 whatever the format.
 */
export type KvFormat = "float32" | "float16" | "int8";

/**
 * The largest codes of keys and of values in the format int8; the least are their opposites. Values have 7 bits, so that
 * what they are multiplied with may have 8 (blocks/coded.ts of @tok/graph). In archives too, where it is not needed: what
 * moves there from a window keeps its codes.
 */
export const largestCode = { key: 127, value: 63 } as const;

export type BlockProducts = "float32" | "int8";

export type Arithmetic = "float32" | "float16";

/** A run of fresh rows that moves into consecutive slots of one segment. */
export interface KvWrite {
	readonly segment: number;
	readonly row: number;
	readonly slot: number;
	readonly length: number;
}

export interface KvStore {
	readonly shape: KvShape;
	/** Bytes that the buffers hold; in float32 headDim · 2 · 4 per slot and head of a layer; 0 once disposed. */
	readonly bytes: number;
	/** Of these, the bytes that lie on disk: values of segments with `sparseValues`, or none. */
	readonly diskBytes: number;
	/**
	 * Moves rows of the last run's fresh keys and values into slots, and forgets the rest. The cost is proportional
	 * to the rows alone, whatever the window. Throws when no run has left fresh rows, or, before anything is written,
	 * when rows or slots are out of range.
	 */
	write(writes: readonly KvWrite[]): Promise<void>;
	/**
	 * A copy of consecutive slots, float32 [layers, 2, kvHeads, length, headDim]: the keys and then the values of each
	 * layer, of the layers and heads that the segment has, whatever its format. Throws when the slots are out of range.
	 */
	readSlots(segment: number, slot: number, length: number): Promise<Float32Array>;
	/**
	 * Fills consecutive slots with such rows, as many as there are. What the last run left stays to be written. Throws,
	 * before anything is written, when the slots are out of range or the rows are not whole.
	 */
	writeSlots(segment: number, slot: number, rows: Float32Array): Promise<void>;
	/** Enlarges one segment's buffers, keeping what they hold. Throws when they would shrink, or exceed the memory. */
	grow(segment: number, slots: number): void;
	/** An independent copy. Throws when it exceeds the memory. */
	fork(): KvStore;
	/**
	 * Raw little-endian bytes of every buffer, in the order layer, segment, key before value, codes before their scales.
	 * The parts are views that hold until the next one is asked for, or the store changes.
	 */
	read(): AsyncIterable<Uint8Array>;
	/** Fills every buffer from `read`'s bytes, in parts of any size. Throws when they are too few or too many. */
	load(bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void>;
	/** Frees the buffers. Twice is fine. */
	dispose(): void;
	[Symbol.dispose](): void;
}

/**
 * Stores of one shape, side by side in memory, so that a run can read several of them as one batch. Their buffers have
 * their full size from the start.
 */
export interface KvBank {
	readonly shape: KvShape;
	/** How many stores it has room for. */
	readonly size: number;
	/** Bytes that its buffers hold, open or not; 0 once disposed. */
	readonly bytes: number;
	/** Of these, the bytes that lie on disk. */
	readonly diskBytes: number;
	/** A store of zeros in a place. Throws when the place is taken, or there is none. */
	open(place: number): KvStore;
	/** Disposes its stores and frees the buffers. Twice is fine. */
	dispose(): void;
	[Symbol.dispose](): void;
}

/** The places [from, to) of a bank. */
export interface KvPlaces {
	readonly bank: KvBank;
	readonly from: number;
	readonly to: number;
}

export interface LoadOptions {
	/** Defaults to what the runtime was created with. */
	readonly threads?: number;
	/**
	 * Names what is loaded, for ever and everywhere: under one key there is one graph. A runtime that keeps graphs may
	 * load the one that it has under the key, and leave a function that would make it uncalled (SPEC.md R26).
	 */
	readonly key?: string;
	readonly signal?: AbortSignal;
}

export interface Runtime {
	/** "cpu", "cuda", "webgpu". */
	readonly name: string;
	/** Bytes of memory that all open stores together may take; undefined when unknown. */
	readonly memoryLimit: number | undefined;
	/** Whether values of segments with `sparseValues` go to disk. No longer once a disk has failed. */
	readonly valuesOnDisk: boolean;
	/** Formats that segments may be kept in; "float32" is always one of them. */
	readonly kvFormats: readonly KvFormat[];
	/**
	 * How weights in blocks (MatMulNBits) are best multiplied: with activations rounded to 8 bits, or in float32. Undefined
	 * where float32 weights are much the faster.
	 */
	readonly blockProducts: BlockProducts | undefined;
	/** What graphs best compute in: "float16" only where all operators have it, and "float16" is among `kvFormats`. */
	readonly arithmetic: Arithmetic;
	/** Whether every operator takes tensors without elements. */
	readonly emptyTensors: boolean;
	/**
	 * Takes a graph, or a function that makes it when it is needed. Throws a TokError when the graph is none that the
	 * backend accepts, and the signal's reason when it is aborted.
	 */
	loadGraph(file: GraphFile | (() => GraphFile), options?: LoadOptions): Promise<GraphSession>;
	/** A store of zeros. Throws a TokError when the shape is none, or exceeds the memory. */
	createKvStore(shape: KvShape): KvStore;
	/** Room for `size` stores of one shape. Throws a TokError when the shape is none, or exceeds the memory. */
	createKvBank(shape: KvShape, size: number): KvBank;
	/** Disposes every graph session and store that is still open. */
	dispose(): Promise<void>;
	[Symbol.asyncDispose](): Promise<void>;
}
