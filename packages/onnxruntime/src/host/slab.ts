/**
 * Memory in a few large blocks, of which arrays are parts: the system hands large blocks out in large pages, and they
 * can be given back in one call each, where many arrays would be left to the garbage collector.
 */
import { freeArray } from "@tok/runtime";

/** Arrays begin at a line of the processor's cache, counted from their block's beginning. */
const LINE = 64;
/** Of a block, in bytes, unless an array alone is larger: engines have limits, and must find it in one piece. */
const LARGEST = 2 ** 28;

export class Slab {
	readonly #blocks: Uint8Array<ArrayBuffer>[] = [];
	/** Bytes that are still to come. */
	#left: number;
	/** Where the next array begins in the last block. */
	#at = 0;

	/** @param bytes What all arrays take, by `part`. */
	constructor(bytes: number) {
		this.#left = bytes;
	}

	/** What an array of so many bytes takes. */
	static part(bytes: number): number {
		return Math.ceil(bytes / LINE) * LINE;
	}

	/** Zeros, as those of `codes` are. Both throw a RangeError when there is no memory for them. */
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
		for (const block of this.#blocks) freeArray(block);
	}

	#next(bytes: number): Uint8Array<ArrayBuffer> {
		const part = Slab.part(bytes);
		let block = this.#blocks.at(-1);
		if (block === undefined || this.#at + part > block.length) {
			const parts = Math.max(1, Math.floor(LARGEST / part));
			block = new Uint8Array(Math.min(this.#left, Math.max(part, parts * part)));
			this.#blocks.push(block);
			this.#at = 0;
		}
		const array = block.subarray(this.#at, this.#at + part);
		this.#at += part;
		this.#left -= part;
		return array;
	}
}
