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
	/** Bytes of each block: what its arrays take, and no more, since a file of zeros is written whole. */
	readonly #sizes: number[] = [];
	/** Where the next array begins in the last block. */
	#at = 0;

	/**
	 * @param lengths Bytes of the arrays, in the order in which they will be asked for.
	 * @param source Of its blocks. Defaults to memory.
	 */
	constructor(lengths: readonly number[], source: BlockSource = inMemory) {
		this.#source = source;
		for (const length of lengths) {
			const part = partOf(length);
			const last = this.#sizes.at(-1);
			if (last === undefined || last + part > LARGEST) this.#sizes.push(part);
			else this.#sizes[this.#sizes.length - 1] = last + part;
		}
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
		const part = partOf(bytes);
		let block = this.#blocks.at(-1);
		if (block === undefined || this.#at + part > block.length) {
			block = this.#source.allocate(this.#sizes[this.#blocks.length] as number);
			this.#blocks.push(block);
			this.#at = 0;
		}
		const array = block.subarray(this.#at, this.#at + part);
		this.#at += part;
		return array;
	}
}

/** What an array of so many bytes takes of a block. */
function partOf(bytes: number): number {
	return Math.ceil(bytes / LINE) * LINE;
}
