/** Buffers for fresh rows between a run and its write, used again and again. */

/** Buffers that are kept though nobody needs them just now. */
const MOST_FREE = 4;

export class RowBuffers {
	readonly #device: GPUDevice;
	readonly #create: (size: number) => GPUBuffer;
	#free: GPUBuffer[] = [];

	constructor(device: GPUDevice, create: (size: number) => GPUBuffer) {
		this.#device = device;
		this.#create = create;
	}

	/** A copy of a buffer's first bytes. The caller gives it back. */
	copyOf(source: GPUBuffer, size: number): GPUBuffer {
		const buffer = this.#take(size);
		const encoder = this.#device.createCommandEncoder();
		encoder.copyBufferToBuffer(source, 0, buffer, 0, size);
		this.#device.queue.submit([encoder.finish()]);
		return buffer;
	}

	giveBack(buffer: GPUBuffer): void {
		this.#free.push(buffer);
		if (this.#free.length <= MOST_FREE) return;
		// The smallest is of the least use.
		this.#free.sort((a, b) => b.size - a.size);
		this.#free.pop()?.destroy();
	}

	/** The smallest that is free and large enough, or a new one. */
	#take(size: number): GPUBuffer {
		const fits = this.#free.filter((buffer) => buffer.size >= size).sort((a, b) => a.size - b.size);
		const [buffer] = fits;
		if (buffer === undefined) return this.#create(2 ** Math.ceil(Math.log2(size)));
		this.#free = this.#free.filter((other) => other !== buffer);
		return buffer;
	}
}
