/** The seam between stores, which keep the rules, and the memory in which their buffers lie. */
import type { KvFormat, KvShape, KvWrite } from "@tok/runtime";
import type { Tensor } from "onnxruntime-common";

/** A cache's shape but for its slots. */
export type Geometry = Omit<KvShape, "slots">;

/** One store's fresh keys and values of a run, [layers, 2, kvHeads, tokens, headDim]. */
export interface FreshRows {
	readonly tokens: number;
	/** They are not needed any more. Once. */
	release(): void;
}

/** One segment's keys and values, of every layer that has it. Callers have checked every range. */
export interface SegmentBuffers<Fresh extends FreshRows> {
	readonly slots: number;
	/** Defaults to false. */
	readonly valuesOnDisk?: boolean;
	/** Adds the buffers of `batch` neighbours, by the names of `kvNames`. */
	addTensors(tensors: Record<string, Tensor>, batch: number): void;
	/** Brings what the tensors hold up to date, where they are copies of the buffers. Called before each run. */
	refresh?(): void;
	/** Copies rows of `fresh` into slots. */
	write(write: KvWrite, fresh: Fresh): void;
	/** Slots `slot`…, [layers, 2, heads, length, headDim]. */
	readSlots(slot: number, length: number): Promise<Float32Array>;
	/** Fills slots from such rows. */
	writeSlots(slot: number, length: number, rows: Float32Array): void;
	/** The same entries of one store among as many or more slots, in memory of their own. */
	grown(slots: number): SegmentBuffers<Fresh>;
	/** Of buffers that hold several segments, those from `from` up to `to`, in the same memory. */
	neighbours(from: number, to: number): SegmentBuffers<Fresh>;
	clear(): void;
	/** The buffers of one layer as a file has them: key before value, codes before their scales. */
	files(layer: number): readonly BufferFile[];
	/** Frees the buffers, unless they are part of another's. */
	dispose(): void;
}

/** A buffer's little-endian bytes. */
export interface BufferFile {
	readonly byteLength: number;
	/** Holds until the buffer changes. */
	read(): Uint8Array | Promise<Uint8Array>;
	/** As many bytes, to be filled. */
	target(): Uint8Array;
	/** Makes a target that was filled the buffer's. */
	replace(target: Uint8Array): void;
}

/** A kind of memory. */
export interface SegmentMemory<Fresh extends FreshRows> {
	/**
	 * Buffers of zeros. `copies` of the segment lie one after the other; see `neighbours`. Throws when there is no memory
	 * for them.
	 */
	zeros(geometry: Geometry, segment: number, slots: number, copies: number): SegmentBuffers<Fresh>;
	/** The rows of each store of a batch. Their shape has been checked. */
	freshRows(fresh: Tensor, batch: number): Fresh[];
	/** Formats that segments may have. */
	readonly formats: readonly KvFormat[];
	/** Whether values of segments with `sparseValues` go to disk. Defaults to false. */
	readonly valuesOnDisk?: boolean;
}
