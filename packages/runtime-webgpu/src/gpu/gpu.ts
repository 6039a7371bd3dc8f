/** A device, and what is wrong with it: lost, or out of memory. Both come late, as the GPU works behind the program. */
import { TokError } from "@tok/runtime";
import { RowBuffers } from "./row-buffers.ts";
import { SlotMover } from "./slot-mover.ts";

export class Gpu {
	readonly device: GPUDevice;
	readonly mover: SlotMover;
	readonly rows: RowBuffers;
	/** Why the device is of no use any more; undefined while it is. */
	#failure: string | undefined;

	constructor(device: GPUDevice) {
		this.device = device;
		this.mover = new SlotMover(device);
		this.rows = new RowBuffers(device, (size) => this.storage(size));
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
		if (!(size <= most))
			throw new RangeError(`the device's buffers hold up to ${most} bytes, ${size} are needed`);
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

	/** A copy of part of a buffer. Rejects when the device is lost meanwhile. */
	async download(buffer: GPUBuffer, offset: number, size: number): Promise<ArrayBuffer> {
		if (size === 0) return new ArrayBuffer(0);
		const staging = this.device.createBuffer({
			size,
			usage: GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST,
		});
		try {
			const encoder = this.device.createCommandEncoder();
			encoder.copyBufferToBuffer(buffer, offset, staging, 0, size);
			this.device.queue.submit([encoder.finish()]);
			await staging.mapAsync(GPUMapMode.READ);
			return staging.getMappedRange().slice(0);
		} catch (cause) {
			this.check();
			throw new TokError(
				"runtime-webgpu",
				`expected to read ${size} bytes of the GPU, got ${String(cause)}.`,
				{
					cause,
				},
			);
		} finally {
			staging.destroy();
		}
	}
}
