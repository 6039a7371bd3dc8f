/**
 * The dispatches of a run, to be done again without onnxruntime. Buffers that the run wrote to were onnxruntime's, which
 * goes on using them: a recording has its own in their place, and one buffer for all uniforms. What the run only read
 * – weights, feeds, caches – is read where it lies.
 */
import * as ort from "onnxruntime-web/webgpu";
import type { Gpu } from "./gpu.ts";
import type { Dispatch } from "./recorder.ts";

export type Tensors = Readonly<Record<string, ort.Tensor>>;

export interface Recording {
	/** Does what the run did, with what its inputs hold now. */
	play(): Tensors;
	dispose(): void;
}

/** Of offsets into a buffer of uniforms, on every device. */
const UNIFORM_ALIGNMENT = 256;
/** Dispatches sent off together: the GPU begins with the first while the next ones are still made. */
const TOGETHER = 256;

/** Bytes of a recording. Runs that need more, such as of long chunks, have enough to compute to hide what they ask for. */
const LARGEST = 2 ** 23;

/** Makes a recording of what a run asked for. Undefined when it would be too large, or not give all that the run gave. */
export function recordingOf(
	gpu: Gpu,
	dispatches: readonly Dispatch[],
	result: Tensors,
): Recording | undefined {
	const { device } = gpu;
	const written = new Set<GPUBuffer>();
	// By their content, written out: layers have the same uniforms, which are kept once.
	const offsets = new Map<string, number>();
	let uniformBytes = 0;
	for (const { resource, uniforms, ...binding } of dispatches.flatMap(({ bindings }) => bindings)) {
		if (binding.written) written.add(resource.buffer);
		if (uniforms === undefined || offsets.has(String(uniforms))) continue;
		offsets.set(String(uniforms), uniformBytes);
		uniformBytes += UNIFORM_ALIGNMENT * Math.ceil(uniforms.length / UNIFORM_ALIGNMENT);
	}
	let bytes = uniformBytes;
	for (const { size } of written) bytes += size;
	const given = Object.entries(result);
	const isWritten = ([, tensor]: (typeof given)[number]): boolean =>
		tensor.location === "gpu-buffer" && written.has(tensor.gpuBuffer as GPUBuffer);
	if (bytes > LARGEST || !given.every(isWritten)) return undefined;

	const own = new Map(Array.from(written, (buffer) => [buffer, gpu.storage(buffer.size)]));
	const insteadOf = (buffer: GPUBuffer): GPUBuffer => own.get(buffer) ?? buffer;
	const shared = device.createBuffer({
		size: uniformBytes,
		usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
	});
	for (const [content, offset] of offsets)
		device.queue.writeBuffer(shared, offset, Uint8Array.from(content.split(","), Number));
	const steps = dispatches.map(({ pipeline, layout, bindings, workgroups }) => {
		const entries = bindings.map(({ binding, resource, uniforms }) => ({
			binding,
			resource:
				uniforms === undefined
					? { ...resource, buffer: insteadOf(resource.buffer) }
					: { buffer: shared, offset: offsets.get(String(uniforms)) ?? 0, size: uniforms.length },
		}));
		return { pipeline, workgroups, group: device.createBindGroup({ layout, entries }) };
	});
	const outputs = given.map(
		([name, { gpuBuffer, type, dims }]) =>
			[
				name,
				insteadOf(gpuBuffer as GPUBuffer),
				{ dataType: type as ort.Tensor.GpuBufferDataTypes, dims },
			] as const,
	);

	return {
		play() {
			for (let from = 0; from < steps.length; from += TOGETHER) {
				const encoder = device.createCommandEncoder();
				const pass = encoder.beginComputePass();
				for (const { pipeline, group, workgroups } of steps.slice(from, from + TOGETHER)) {
					pass.setPipeline(pipeline);
					pass.setBindGroup(0, group);
					pass.dispatchWorkgroups(...workgroups);
				}
				pass.end();
				device.queue.submit([encoder.finish()]);
			}
			return Object.fromEntries(
				outputs.map(([name, buffer, like]) => [name, ort.Tensor.fromGpuBuffer(buffer, like)]),
			);
		},
		dispose() {
			shared.destroy();
			for (const buffer of own.values()) buffer.destroy();
		},
	};
}
