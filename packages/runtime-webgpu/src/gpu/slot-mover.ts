/** Runs the slot shader: one dispatch a layer, no buffer or bind group made anew from step to step. */
import { type GpuFormat, LAYER_FIELDS, MOVE_STRIDE, slotShader, WORKGROUP } from "./slot-shader.ts";

/** One layer's buffers of a segment. */
export interface LayerBuffers {
	readonly key: GPUBuffer;
	readonly value: GPUBuffer;
	/** `Layer` of the shader. */
	readonly layout: GPUBuffer;
	readonly heads: number;
	readonly format: GpuFormat;
}

interface Pipelines {
	/** Rows into slots. */
	readonly scatter: GPUComputePipeline;
	/** Slots into rows. */
	readonly gather: GPUComputePipeline;
}

export interface Move {
	readonly row: number;
	readonly slot: number;
	readonly length: number;
	/** Rows that a head has. */
	readonly tokens: number;
	/** First number of the rows in their buffer. */
	readonly base: number;
}

/** Moves whose numbers the buffer holds, in turn. */
const MOVES = 64;

export class SlotMover {
	readonly #device: GPUDevice;
	readonly #layout: GPUBindGroupLayout;
	readonly #pipelines: Readonly<Record<GpuFormat, Pipelines>>;
	readonly #moves: GPUBuffer;
	#next = 0;
	/** rows → layout → bind group. Rows lie in a few buffers that are used again and again. */
	readonly #groups = new WeakMap<GPUBuffer, WeakMap<GPUBuffer, GPUBindGroup>>();

	constructor(device: GPUDevice) {
		this.#device = device;
		const storage = (binding: number, type: GPUBufferBindingType): GPUBindGroupLayoutEntry => ({
			binding,
			visibility: GPUShaderStage.COMPUTE,
			buffer: { type },
		});
		this.#layout = device.createBindGroupLayout({
			entries: [
				storage(0, "storage"),
				storage(1, "storage"),
				storage(2, "storage"),
				storage(3, "read-only-storage"),
				{
					binding: 4,
					visibility: GPUShaderStage.COMPUTE,
					buffer: { type: "uniform", hasDynamicOffset: true },
				},
			],
		});
		const layout = device.createPipelineLayout({ bindGroupLayouts: [this.#layout] });
		const pipelines = (format: GpuFormat): Pipelines => {
			const module = device.createShaderModule({ code: slotShader(format) });
			const pipeline = (entryPoint: string): GPUComputePipeline =>
				device.createComputePipeline({ layout, compute: { module, entryPoint } });
			return { scatter: pipeline("scatter"), gather: pipeline("gather") };
		};
		this.#pipelines = { float32: pipelines("float32"), float16: pipelines("float16") };
		this.#moves = device.createBuffer({
			size: MOVES * MOVE_STRIDE,
			usage: GPUBufferUsage.UNIFORM | GPUBufferUsage.COPY_DST,
		});
	}

	/** `Layer` of the shader as a buffer. The caller destroys it. */
	layout(fields: readonly number[], heads: readonly number[]): GPUBuffer {
		const buffer = this.#device.createBuffer({
			size: 4 * (LAYER_FIELDS + heads.length),
			usage: GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_DST,
		});
		this.#device.queue.writeBuffer(buffer, 0, Uint32Array.from([...fields, ...heads]));
		return buffer;
	}

	/** Rows into slots of every layer. */
	scatter(layers: readonly LayerBuffers[], headDim: number, rows: GPUBuffer, move: Move): void {
		this.#run("scatter", layers, headDim, rows, move);
	}

	/** Slots of every layer into rows. */
	gather(layers: readonly LayerBuffers[], headDim: number, rows: GPUBuffer, move: Move): void {
		this.#run("gather", layers, headDim, rows, move);
	}

	#run(
		direction: keyof Pipelines,
		layers: readonly LayerBuffers[],
		headDim: number,
		rows: GPUBuffer,
		{ row, slot, length, tokens, base }: Move,
	): void {
		const [first] = layers;
		if (length === 0 || first === undefined) return;
		// A write to the queue takes effect before what is submitted after it, and after what was submitted before.
		const offset = this.#next * MOVE_STRIDE;
		this.#next = (this.#next + 1) % MOVES;
		this.#device.queue.writeBuffer(this.#moves, offset, Uint32Array.of(row, slot, length, tokens, base));
		const encoder = this.#device.createCommandEncoder();
		const pass = encoder.beginComputePass();
		// All of a segment's, which have one format.
		pass.setPipeline(this.#pipelines[first.format][direction]);
		for (const layer of layers) {
			pass.setBindGroup(0, this.#group(rows, layer), [offset]);
			pass.dispatchWorkgroups(Math.ceil((length * headDim) / WORKGROUP), layer.heads);
		}
		pass.end();
		this.#device.queue.submit([encoder.finish()]);
	}

	#group(rows: GPUBuffer, { key, value, layout }: LayerBuffers): GPUBindGroup {
		const groups = this.#groups.get(rows) ?? new WeakMap<GPUBuffer, GPUBindGroup>();
		this.#groups.set(rows, groups);
		// By the layout, of which there is one for every store's layer: neighbours in a bank share their buffers.
		const known = groups.get(layout);
		if (known !== undefined) return known;
		const buffers = [rows, key, value, layout].map((buffer, binding) => ({ binding, resource: { buffer } }));
		const moves = { binding: 4, resource: { buffer: this.#moves, size: 20 } };
		const group = this.#device.createBindGroup({ layout: this.#layout, entries: [...buffers, moves] });
		groups.set(layout, group);
		return group;
	}
}
