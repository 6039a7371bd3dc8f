/** A device, and what is wrong with it: lost, or out of memory. Both come late, as the GPU works behind the program. */
import { TokError } from "@tok/runtime";
import { BufferPool } from "./buffer-pool.ts";
import { SlotMover } from "./slot-mover.ts";

/** Empty buffers cannot be bound. */
export const LEAST_BYTES = 16;

/** Bytes of a buffer. */
export interface BufferRange {
	readonly buffer: GPUBuffer;
	/** A multiple of 4. */
	readonly offset: number;
	readonly size: number;
}

export class Gpu {
	readonly device: GPUDevice;
	readonly mover: SlotMover;
	/** Storage for fresh rows between a run and its write. */
	readonly rows: BufferPool;
	/** What the host may map, to read what was copied there. */
	readonly #staging: BufferPool;
	readonly #destroyed = new WeakSet<GPUBuffer>();
	/** Why the device is of no use any more; undefined while it is. */
	#failure: string | undefined;

	constructor(device: GPUDevice) {
		this.device = device;
		this.mover = new SlotMover(device);
		this.rows = new BufferPool((size) => this.storage(size));
		const usage = GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST;
		this.#staging = new BufferPool((size) => device.createBuffer({ size, usage }));
		void device.lost.then(({ message }) => {
			this.#failure ??= `the device was lost (${message || "no reason was given"})`;
		});
	}

	/** Throws when the device has failed since. */
	check(): void {
		if (this.#failure !== undefined)
			throw new TokError(
				"runtime-webgpu",
				`expected a GPU that works, but ${this.#failure}. Dispose the runtime, create a new one, and restore sessions there.`,
			);
	}

	/** A buffer for graphs and shaders. Throws a RangeError when the device has none so large. */
	storage(size: number): GPUBuffer {
		const { maxBufferSize, maxStorageBufferBindingSize } = this.device.limits;
		const most = Math.min(maxBufferSize, maxStorageBufferBindingSize);
		if (!(size <= most)) throw new RangeError(`buffers hold up to ${most} bytes, ${size} are needed`);
		const { STORAGE, COPY_SRC, COPY_DST } = GPUBufferUsage;
		this.device.pushErrorScope("out-of-memory");
		const buffer = this.device.createBuffer({ size, usage: STORAGE | COPY_SRC | COPY_DST });
		void this.device.popErrorScope().then(
			(error) => {
				if (error !== null) this.#failure ??= `it has no memory for ${size} bytes more`;
			},
			// Lost meanwhile, which is told by itself.
			() => {},
		);
		return buffer;
	}

	/** Destroys what graphs have read. */
	destroy(buffer: GPUBuffer): void {
		buffer.destroy();
		this.#destroyed.add(buffer);
	}

	/** Whether `destroy` was called. */
	isDestroyed(buffer: GPUBuffer): boolean {
		return this.#destroyed.has(buffer);
	}

	/** Writes an array to the beginning of a buffer that is large enough for whole words of 4 bytes. */
	upload(buffer: GPUBuffer, data: ArrayBufferView): void {
		const { buffer: memory, byteOffset, byteLength } = data;
		const whole = byteLength - (byteLength % 4);
		const { queue } = this.device;
		if (whole > 0) queue.writeBuffer(buffer, 0, memory as ArrayBuffer, byteOffset, whole);
		if (whole === byteLength) return;
		const last = new Uint8Array(4);
		last.set(new Uint8Array(memory, byteOffset + whole, byteLength - whole));
		queue.writeBuffer(buffer, whole, last);
	}

	/** Copies a buffer's first bytes, a multiple of 4, into one of `rows`, which the caller gives back. */
	copyRows(source: GPUBuffer, size: number): GPUBuffer {
		const buffer = this.rows.take(size);
		const encoder = this.device.createCommandEncoder();
		encoder.copyBufferToBuffer(source, 0, buffer, 0, size);
		this.device.queue.submit([encoder.finish()]);
		return buffer;
	}

	/** Copies of ranges of buffers. Rejects when the device is lost meanwhile. */
	async download(ranges: readonly BufferRange[]): Promise<ArrayBuffer[]> {
		const total = ranges.reduce((sum, { size }) => sum + wordsOf(size), 0);
		if (total === 0) return ranges.map(() => new ArrayBuffer(0));
		const staging = this.#staging.take(total);
		try {
			const encoder = this.device.createCommandEncoder();
			let at = 0;
			for (const { buffer, offset, size } of ranges) {
				if (size > 0) encoder.copyBufferToBuffer(buffer, offset, staging, at, wordsOf(size));
				at += wordsOf(size);
			}
			this.device.queue.submit([encoder.finish()]);
			await staging.mapAsync(GPUMapMode.READ, 0, total);
			const mapped = staging.getMappedRange(0, total);
			at = 0;
			const copies = ranges.map(({ size }) => {
				const copy = mapped.slice(at, at + size);
				at += wordsOf(size);
				return copy;
			});
			staging.unmap();
			this.#staging.giveBack(staging);
			return copies;
		} catch (cause) {
			staging.destroy();
			this.check();
			throw new TokError(
				"runtime-webgpu",
				`expected to read ${total} bytes of the GPU, got ${String(cause)}.`,
				{
					cause,
				},
			);
		}
	}
}

/** Bytes of as many whole words as hold `size` bytes: what the GPU copies. */
function wordsOf(size: number): number {
	return 4 * Math.ceil(size / 4);
}
