/**
 * Feeds and outputs of one graph session, through buffers of its own. onnxruntime would make and destroy a buffer for
 * each of them in every run; these are made once, and again only when more has to fit into one.
 */
import { hostTransfers, type Transfers } from "@tok/onnxruntime";
import type { DType, Tensor, TypedArrays } from "@tok/runtime";
import * as ort from "onnxruntime-web/webgpu";
import { type BufferRange, type Gpu, LEAST_BYTES } from "./gpu.ts";
import type { Replays } from "./replays.ts";

/** Dtypes that onnxruntime lets lie in buffers which are not its own, as the host has them. */
const arrays: Readonly<Record<GpuDType, GpuArrayClass>> = {
	float32: Float32Array,
	float16: Uint16Array,
	int64: BigInt64Array,
	int32: Int32Array,
	uint8: Uint8Array,
	bool: Uint8Array,
};

type GpuDType = Exclude<DType, "int8">;

interface GpuArrayClass {
	readonly BYTES_PER_ELEMENT: number;
	new (content: ArrayBuffer): TypedArrays[GpuDType];
}

/** Whether onnxruntime keeps tensors of the dtype in buffers that a program may have. */
export function isGpuDType(dtype: string): dtype is GpuDType {
	return dtype in arrays;
}

export class GpuTransfers implements Transfers {
	readonly #gpu: Gpu;
	/** For what has no buffer: tensors of other dtypes, and those without elements. */
	readonly #host = hostTransfers(ort.Tensor);
	/** By the inputs' names. */
	readonly #buffers = new Map<string, GPUBuffer>();

	/** Undefined where every run is onnxruntime's. */
	readonly #replays: Replays | undefined;
	readonly run: Transfers["run"];

	constructor(gpu: Gpu, replays?: Replays) {
		this.#gpu = gpu;
		this.#replays = replays;
		this.run = replays?.run;
	}

	feed(name: string, tensor: Tensor): ort.Tensor {
		const { dtype, dims, data } = tensor;
		if (!isGpuDType(dtype)) return this.#host.feed(name, tensor);
		const gpuBuffer = this.#buffer(name, data.byteLength);
		this.#gpu.upload(gpuBuffer, data);
		return ort.Tensor.fromGpuBuffer(gpuBuffer, { dataType: dtype, dims: [...dims] });
	}

	async fetch(outputs: Readonly<Record<string, ort.Tensor>>): Promise<Record<string, Tensor>> {
		const entries = Object.entries(outputs);
		const onGpu = entries.filter(([, { location }]) => location === "gpu-buffer");
		const onHost = entries.filter(([, { location }]) => location !== "gpu-buffer");
		const fetched = await this.#host.fetch(Object.fromEntries(onHost));
		try {
			const contents = await this.#gpu.download(onGpu.map(([, tensor]) => rangeOf(tensor)));
			for (const [i, [name, { type, dims }]] of onGpu.entries()) {
				const dtype = type as GpuDType;
				fetched[name] = { dtype, dims, data: new arrays[dtype](contents[i] as ArrayBuffer) };
			}
		} finally {
			for (const [, tensor] of onGpu) tensor.dispose();
		}
		return fetched;
	}

	dispose(): void {
		this.#replays?.dispose();
		for (const buffer of this.#buffers.values()) buffer.destroy();
		this.#buffers.clear();
	}

	#buffer(name: string, bytes: number): GPUBuffer {
		const known = this.#buffers.get(name);
		if (known !== undefined && known.size >= bytes) return known;
		known?.destroy();
		const buffer = this.#gpu.storage(2 ** Math.ceil(Math.log2(Math.max(LEAST_BYTES, bytes))));
		this.#buffers.set(name, buffer);
		return buffer;
	}
}

function rangeOf(tensor: ort.Tensor): BufferRange {
	const bytes = arrays[tensor.type as GpuDType].BYTES_PER_ELEMENT;
	return { buffer: tensor.gpuBuffer as GPUBuffer, offset: 0, size: bytes * tensor.size };
}
