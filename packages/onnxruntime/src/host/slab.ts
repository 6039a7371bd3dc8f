/**
 * Memory in a few large blocks, of which arrays are parts: the system hands large blocks out in large pages, and they
 * can be given back in one call each, where many arrays would be left to the garbage collector.
 */
import { freeArray } from "@tok/runtime";

/** Arrays begin at a line of the processor's cache, counted from their block's beginning. */
const LINE = 64;
/** Of a block, in bytes, unless an array alone is larger: engines have limits, and must find it in one piece. */
const LARGEST = 2 ** 28;

/** Where blocks of zeros come from, and go to. */
export interface BlockSource {
	/** Throws when there is no room for so many bytes. */
	allocate(bytes: number): Uint8Array<ArrayBuffer>;
	/** Views of the block have no elements from then on. */
	free(block: Uint8Array<ArrayBuffer>): void;
}

/** Blocks in files. Once one could not be had there are none any more. */
export interface DiskBlocks extends BlockSource {
	readonly works: boolean;
}

/** Throws a RangeError. */
const inMemory: BlockSource = { allocate: (bytes) => new Uint8Array(bytes), free: freeArray };

export class Slab {
	readonly #blocks: Uint8Array<ArrayBuffer>[] = [];
	readonly #source: BlockSource;
	/** Bytes that are still to come. */
	#left: number;
	/** Where the next array begins in the last block. */
	#at = 0;

	/**
	 * @param bytes What all arrays take, by `part`.
	 * @param source Of its blocks. Defaults to memory.
	 */
	constructor(bytes: number, source: BlockSource = inMemory) {
		this.#left = bytes;
		this.#source = source;
	}

	/** What an array of so many bytes takes. */
	static part(bytes: number): number {
		return Math.ceil(bytes / LINE) * LINE;
	}

	/** Zeros, as those of `codes` are. Both throw what the source does when there is no room for them. */
	floats(length: number): Float32Array<ArrayBuffer> {
		const { buffer, byteOffset } = this.#next(length * Float32Array.BYTES_PER_ELEMENT);
		return new Float32Array(buffer, byteOffset, length);
	}

	codes(length: number): Int8Array<ArrayBuffer> {
		const { buffer, byteOffset } = this.#next(length);
		return new Int8Array(buffer, byteOffset, length);
	}

	/** Arrays that are parts of it have no elements from then on. */
	free(): void {
		for (const block of this.#blocks) this.#source.free(block);
	}

	#next(bytes: number): Uint8Array<ArrayBuffer> {
		const part = Slab.part(bytes);
		let block = this.#blocks.at(-1);
		if (block === undefined || this.#at + part > block.length) {
			const parts = Math.max(1, Math.floor(LARGEST / Math.max(1, part)));
			block = this.#source.allocate(Math.min(this.#left, parts * part));
			this.#blocks.push(block);
			this.#at = 0;
		}
		const array = block.subarray(this.#at, this.#at + part);
		this.#at += part;
		this.#left -= part;
		return array;
	}
}
