/**
 * Listens to what onnxruntime asks of a device. A run whose feeds have the dims of one before and lie in the same buffers
 * asks for the same dispatches, and making them anew takes several times as long as sending them off: so they are written
 * down once (`Recording` plays them).
 *
 * onnxruntime gets the device behind a proxy, which tells the recorder of every call. A run that does more than compute,
 * such as to copy or to read something back, is not written down.
 */

/** One dispatch, with all that it binds. */
export interface Dispatch {
	readonly pipeline: GPUComputePipeline;
	readonly layout: GPUBindGroupLayout;
	readonly bindings: readonly Binding[];
	readonly workgroups: Parameters<GPUComputePassEncoder["dispatchWorkgroups"]>;
}

export interface Binding {
	readonly binding: number;
	readonly resource: GPUBufferBinding;
	/** The shader writes to it. */
	readonly written: boolean;
	/** What a buffer of uniforms held at the time; undefined for storage. */
	readonly uniforms: Uint8Array | undefined;
}

type BindGroup = Parameters<GPUComputePassEncoder["setBindGroup"]>[1];

/** What one run has asked for so far. */
interface Notes {
	/** Undefined once it did something that cannot be done again. */
	dispatches: Dispatch[] | undefined;
	readonly groups: Map<BindGroup, GPUBindGroupDescriptor>;
	readonly uniforms: Map<GPUBuffer, Uint8Array>;
}

/** What a shader declares to write to: onnxruntime uses one group. */
const WRITTEN = /@binding\((\d+)\)\s*var<storage,\s*read_write>/g;
/** Hears of calls, with what they gave, which it may replace; the others of an object's members stay as they are. */
type Ears<T> = {
	readonly [Name in keyof T]?: T[Name] extends (...values: infer Values) => infer Result
		? (result: Result, ...values: Values) => Result | undefined
		: T[Name];
};

export class Recorder {
	/** For onnxruntime. */
	readonly device: GPUDevice;
	readonly #written = new WeakMap<GPUShaderModule | GPUComputePipeline, ReadonlySet<number> | undefined>();
	/** Undefined while nobody records. */
	#notes: Notes | undefined;

	constructor(device: GPUDevice) {
		this.device = heard(device, {
			queue: heard(device.queue, {
				writeBuffer: (_, buffer, offset, data) => {
					if (this.#notes) noteWrite(this.#notes, buffer, offset, data);
				},
			}),
			createShaderModule: (module, { code }) => {
				this.#written.set(
					module,
					new Set(Array.from(code.matchAll(WRITTEN), ([, binding]) => Number(binding))),
				);
			},
			createComputePipelineAsync: async (making, { compute }) => {
				const pipeline = await making;
				this.#written.set(pipeline, this.#written.get(compute.module));
				return pipeline;
			},
			createBindGroup: (group, descriptor) => {
				this.#notes?.groups.set(group, descriptor);
			},
			createCommandEncoder: (encoder) => this.#notes && this.#encoder(encoder, this.#notes),
		});
	}

	/** Runs, and writes down what that takes; no dispatches when it cannot be done again by these alone. */
	async record<T>(run: () => Promise<T>): Promise<[result: T, dispatches: readonly Dispatch[]]> {
		const notes: Notes = { dispatches: [], groups: new Map(), uniforms: new Map() };
		this.#notes = notes;
		try {
			return [await run(), notes.dispatches ?? []];
		} finally {
			this.#notes = undefined;
		}
	}

	#encoder(encoder: GPUCommandEncoder, notes: Notes): GPUCommandEncoder {
		const ears: Ears<GPUCommandEncoder> = {
			beginComputePass: (pass) => this.#pass(pass, notes),
			// onnxruntime clears buffers that it uses again, lest one model see another's numbers. What is played has its own.
			clearBuffer() {},
			finish() {},
		};
		return heard(encoder, ears, notes);
	}

	#pass(pass: GPUComputePassEncoder, notes: Notes): GPUComputePassEncoder {
		let pipeline: GPUComputePipeline | undefined;
		let group: GPUBindGroupDescriptor | undefined;
		const ears: Ears<GPUComputePassEncoder> = {
			setPipeline(_, next) {
				pipeline = next;
			},
			setBindGroup(_: undefined, index: number, next: BindGroup, ...offsets: unknown[]) {
				group = index > 0 || offsets.length > 0 ? undefined : notes.groups.get(next);
			},
			dispatchWorkgroups: (_, ...workgroups) => {
				const written = pipeline && this.#written.get(pipeline);
				if (pipeline && group && written) {
					const bindings = bindingsOf(notes, group, written);
					notes.dispatches?.push({ pipeline, layout: group.layout, bindings, workgroups });
				} else notes.dispatches = undefined;
			},
			end() {},
		};
		return heard(pass, ears, notes);
	}
}

/** What is not known whole spoils the notes. */
function bindingsOf(
	notes: Notes,
	{ entries }: GPUBindGroupDescriptor,
	written: ReadonlySet<number>,
): readonly Binding[] {
	return Array.from(entries as Iterable<Pick<Binding, "binding" | "resource">>, ({ binding, resource }) => {
		const uniforms = notes.uniforms.get(resource.buffer);
		if (isUniform(resource.buffer) && !uniforms) notes.dispatches = undefined;
		return { binding, resource, written: written.has(binding), uniforms };
	});
}

/** Uniforms, whole, are all that a run that is written down may send. */
function noteWrite(notes: Notes, buffer: GPUBuffer, offset: number, data: unknown): void {
	if (isUniform(buffer) && offset === 0 && data instanceof Uint8Array)
		notes.uniforms.set(buffer, data.slice());
	else notes.dispatches = undefined;
}

function isUniform({ usage }: GPUBuffer): boolean {
	return (usage & GPUBufferUsage.UNIFORM) !== 0;
}

/** The same object, with ears. A call that they do not hear spoils the notes. */
function heard<T extends object>(target: T, ears: Ears<T>, notes?: Notes): T {
	return new Proxy(target, {
		get(_, name) {
			const ear = ears[name as keyof T] as unknown;
			const member: unknown = target[name as keyof T];
			if (typeof member !== "function") return ear ?? member;
			return (...values: unknown[]): unknown => {
				// Methods of the browser's want the object itself.
				const result: unknown = member.apply(target, values);
				if (typeof ear === "function") return ear(result, ...values) ?? result;
				if (notes !== undefined) notes.dispatches = undefined;
				return result;
			};
		},
		set: (_, name, value) => Reflect.set(target, name, value, target),
	});
}
