/** Buffers of one use that are taken and given back, so that a step needs no new one. */

/** Buffers that are kept though nobody needs them just now. */
const MOST_FREE = 4;
/** Larger ones come with files of sessions, not with steps. */
const LARGEST_KEPT = 2 ** 26;

export class BufferPool {
	readonly #create: (size: number) => GPUBuffer;
	#free: GPUBuffer[] = [];

	/** @param create makes a buffer of so many bytes. */
	constructor(create: (size: number) => GPUBuffer) {
		this.#create = create;
	}

	/** The smallest that is free and large enough, or a new one. The caller gives it back. */
	take(size: number): GPUBuffer {
		const fits = this.#free.filter((buffer) => buffer.size >= size).sort((a, b) => a.size - b.size);
		const [buffer] = fits;
		if (buffer === undefined)
			return this.#create(size > LARGEST_KEPT ? size : 2 ** Math.ceil(Math.log2(size)));
		this.#free = this.#free.filter((other) => other !== buffer);
		return buffer;
	}

	giveBack(buffer: GPUBuffer): void {
		if (buffer.size > LARGEST_KEPT) {
			buffer.destroy();
			return;
		}
		this.#free.push(buffer);
		if (this.#free.length <= MOST_FREE) return;
		// The smallest is of the least use.
		this.#free.sort((a, b) => b.size - a.size);
		this.#free.pop()?.destroy();
	}
}
