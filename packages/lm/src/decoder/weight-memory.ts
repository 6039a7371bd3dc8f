/**
 * Memory for the weights of a graph that is being built, given back in one go once the runtime has them.
 *
 * Arrays of a few megabytes each would be the C library's to keep: it raises the size from which it maps memory on its
 * own to the largest that was freed, and holds on to the rest. Slabs above its highest threshold are always mapped.
 */
import { TokError } from "@tok/runtime";

const SLAB = 2 ** 26;
/** Any typed array may begin at a multiple of it. */
const ALIGNMENT = 64;

export class WeightMemory {
	#slabs: ArrayBuffer[] = [];
	/** Bytes of the last slab that are taken. */
	#used = SLAB;

	/** Zeros. */
	bytes(length: number): Uint8Array<ArrayBuffer> {
		const { buffer, offset } = this.#take(length);
		return new Uint8Array(buffer, offset, length);
	}

	/** Zeros. */
	floats(length: number): Float32Array<ArrayBuffer> {
		const { buffer, offset } = this.#take(length * Float32Array.BYTES_PER_ELEMENT);
		return new Float32Array(buffer, offset, length);
	}

	/** Ends the life of every array that was handed out. */
	release(): void {
		// Newer engines free at once what is transferred to nothing; the others when they next collect garbage.
		for (const slab of this.#slabs) if ("transfer" in slab) (slab as Transferable).transfer(0);
		this.#slabs = [];
		this.#used = SLAB;
	}

	#take(length: number): { readonly buffer: ArrayBuffer; readonly offset: number } {
		if (length > SLAB - this.#used) {
			this.#slabs.push(slab(Math.max(SLAB, length)));
			this.#used = 0;
		}
		const offset = this.#used;
		this.#used = Math.ceil((offset + length) / ALIGNMENT) * ALIGNMENT;
		return { buffer: this.#slabs.at(-1) as ArrayBuffer, offset };
	}
}

function slab(bytes: number): ArrayBuffer {
	try {
		return new ArrayBuffer(bytes);
	} catch (cause) {
		throw new TokError(
			"lm",
			`expected memory for ${bytes} more bytes of weights, got none. Use a smaller model, or free others.`,
			{ cause },
		);
	}
}

interface Transferable {
	transfer(length: number): ArrayBuffer;
}
