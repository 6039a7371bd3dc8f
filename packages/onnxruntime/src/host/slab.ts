/**
 * One block of memory, of which arrays are parts: the system hands a large one out in large pages, and it can be given
 * back in one call, where many arrays would be left to the garbage collector.
 */
import { freeArray } from "@tok/runtime";

/** Arrays begin at a line of the processor's cache, counted from the block's beginning. */
const LINE = 64;

export class Slab {
	readonly #memory: Uint8Array<ArrayBuffer>;
	#used = 0;

	/** Of zeros. Throws a RangeError when there is no memory for it. */
	constructor(bytes: number) {
		this.#memory = new Uint8Array(bytes);
	}

	/** What an array of so many bytes takes. */
	static part(bytes: number): number {
		return Math.ceil(bytes / LINE) * LINE;
	}

	floats(length: number): Float32Array<ArrayBuffer> {
		return new Float32Array(this.#memory.buffer, this.#next(length * Float32Array.BYTES_PER_ELEMENT), length);
	}

	codes(length: number): Int8Array<ArrayBuffer> {
		return new Int8Array(this.#memory.buffer, this.#next(length), length);
	}

	/** Whatever was a part of it has no elements from then on. */
	free(): void {
		freeArray(this.#memory);
	}

	#next(bytes: number): number {
		const at = this.#used;
		this.#used += Slab.part(bytes);
		return at;
	}
}
