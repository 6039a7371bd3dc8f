/**
 * A session's keys and values in host memory. onnxruntime reads the buffers in place; a write copies only the
 * fresh rows that a plan keeps, so its cost does not depend on the window.
 */
import { type KvShape, type KvStore, type KvWrite, kvNames, TokError } from "@tok/runtime";
import * as ort from "onnxruntime-node";

/** One layer's buffers of one segment. */
interface LayerBuffers {
	readonly key: Float32Array; // [kvHeads, headDim, slots]
	readonly value: Float32Array; // [kvHeads, slots, headDim]
}

interface Fresh {
	readonly data: Float32Array; // [layers, 2, kvHeads, rows, headDim]
	readonly rows: number;
}

export class CpuKvStore implements KvStore {
	#slots: number[];
	#buffers: LayerBuffers[][]; // [segments][layers]
	#tensors: Record<string, ort.Tensor> | undefined;
	#fresh: Fresh | undefined;
	#disposed = false;
	readonly #geometry: Omit<KvShape, "slots">;
	readonly #limit: number;
	readonly #open: Set<KvStore>;

	private constructor(shape: KvShape, buffers: LayerBuffers[][], limit: number, open: Set<KvStore>) {
		const { slots, ...geometry } = shape;
		this.#geometry = geometry;
		this.#slots = [...slots];
		this.#buffers = buffers;
		this.#limit = limit;
		this.#open = open;
		open.add(this);
	}

	/** Allocates zeroed buffers. Throws when they exceed `limit` bytes. */
	static create(shape: KvShape, limit: number, open: Set<KvStore>): CpuKvStore {
		validate(shape);
		checkMemory(kvBytes(shape), limit);
		const buffers = shape.slots.map((slots) =>
			Array.from({ length: shape.layers }, () => allocate(shape.kvHeads, shape.headDim, slots)),
		);
		return new CpuKvStore(shape, buffers, limit, open);
	}

	get shape(): KvShape {
		return { ...this.#geometry, slots: [...this.#slots] };
	}

	get bytes(): number {
		return this.#disposed ? 0 : kvBytes(this.shape);
	}

	/** The buffers as onnxruntime inputs, by name; made once and kept until a buffer is replaced. */
	tensors(): Record<string, ort.Tensor> {
		this.#checkOpen();
		this.#tensors ??= this.#wrap();
		return this.#tensors;
	}

	/** Keeps a run's fresh output until `write`. */
	keep(data: Float32Array, dims: readonly number[]): void {
		const { layers, kvHeads, headDim } = this.#geometry;
		const [batch, heads, rows] = dims;
		if (
			dims.length !== 4 ||
			batch !== 1 ||
			heads !== layers * 2 * kvHeads ||
			dims[3] !== headDim ||
			rows === undefined
		)
			throw new TokError(
				"runtime-cpu",
				`${kvNames.fresh}: expected [1, ${layers * 2 * kvHeads}, tokens, ${headDim}], got [${dims.join(", ")}]. ` +
					"Create the store with the shape of this graph.",
			);
		this.#fresh = { data, rows };
	}

	async write(writes: readonly KvWrite[]): Promise<void> {
		this.#checkOpen();
		const fresh = this.#fresh;
		if (fresh === undefined)
			throw new TokError(
				"runtime-cpu",
				"write: expected fresh entries, got none. Run the graph with this store first.",
			);
		for (const write of writes) this.#checkWrite(write, fresh.rows);
		for (const write of writes) this.#copyRows(write, fresh);
		this.#fresh = undefined;
	}

	grow(segment: number, slots: number): void {
		this.#checkOpen();
		const before = this.#slots[segment];
		if (before === undefined || !Number.isSafeInteger(slots) || slots < before)
			throw new TokError(
				"runtime-cpu",
				`grow: expected a segment below ${this.#slots.length} and at least ${before ?? 0} slots, got segment ${segment} and ${slots}.`,
			);
		if (slots === before) return;
		const { layers, kvHeads, headDim } = this.#geometry;
		checkMemory(this.bytes + kvBytes({ ...this.#geometry, slots: [slots - before] }), this.#limit);
		const grown = this.#buffers[segment] as LayerBuffers[];
		for (let layer = 0; layer < layers; layer++) {
			const from = grown[layer] as LayerBuffers;
			const to = allocate(kvHeads, headDim, slots);
			for (let row = 0; row < kvHeads * headDim; row++)
				to.key.set(from.key.subarray(row * before, (row + 1) * before), row * slots);
			for (let head = 0; head < kvHeads; head++)
				to.value.set(
					from.value.subarray(head * before * headDim, (head + 1) * before * headDim),
					head * slots * headDim,
				);
			grown[layer] = to;
		}
		this.#slots[segment] = slots;
		this.#tensors = undefined;
	}

	fork(): KvStore {
		this.#checkOpen();
		checkMemory(this.bytes, this.#limit);
		const copy = this.#buffers.map((layers) =>
			layers.map(({ key, value }) => ({
				key: key.slice(),
				value: value.slice(),
			})),
		);
		return new CpuKvStore(this.shape, copy, this.#limit, this.#open);
	}

	async *read(): AsyncIterable<Uint8Array> {
		this.#checkOpen();
		for (const buffer of this.#inFileOrder()) yield bytesOf(buffer);
	}

	async load(bytes: AsyncIterable<Uint8Array> | Iterable<Uint8Array>): Promise<void> {
		this.#checkOpen();
		const targets = this.#inFileOrder().map(bytesOf);
		let index = 0;
		let offset = 0;
		let taken = 0;
		for await (let part of bytes) {
			taken += part.length;
			while (part.length > 0) {
				const target = targets[index];
				if (target === undefined) throw this.#wrongSize(taken);
				const count = Math.min(part.length, target.length - offset);
				target.set(part.subarray(0, count), offset);
				part = part.subarray(count);
				offset += count;
				if (offset === target.length) {
					index++;
					offset = 0;
				}
			}
		}
		if (taken !== this.bytes) throw this.#wrongSize(taken);
	}

	dispose(): void {
		this.#disposed = true;
		this.#buffers = [];
		this.#tensors = undefined;
		this.#fresh = undefined;
		this.#open.delete(this);
	}

	[Symbol.dispose](): void {
		this.dispose();
	}

	#copyRows({ segment, row, slot, length }: KvWrite, { data, rows }: Fresh): void {
		const { layers, kvHeads, headDim } = this.#geometry;
		const slots = this.#slots[segment] as number;
		const plane = rows * headDim; // one head's fresh rows
		const buffers = this.#buffers[segment] as LayerBuffers[];
		for (let layer = 0; layer < layers; layer++) {
			const { key, value } = buffers[layer] as LayerBuffers;
			for (let head = 0; head < kvHeads; head++) {
				const freshKey = (layer * 2 * kvHeads + head) * plane + row * headDim;
				for (let d = 0; d < headDim; d++) {
					const target = (head * headDim + d) * slots + slot;
					for (let r = 0; r < length; r++) key[target + r] = data[freshKey + r * headDim + d] as number;
				}
				const freshValue = ((layer * 2 + 1) * kvHeads + head) * plane + row * headDim;
				value.set(data.subarray(freshValue, freshValue + length * headDim), (head * slots + slot) * headDim);
			}
		}
	}

	#checkWrite({ segment, row, slot, length }: KvWrite, rows: number): void {
		const slots = this.#slots[segment];
		const fits = slots !== undefined && row >= 0 && slot >= 0 && length >= 0;
		if (!fits || row + length > rows || slot + length > slots)
			throw new TokError(
				"runtime-cpu",
				`write: expected rows within ${rows} and slots within ${slots ?? "a known segment"}, ` +
					`got rows ${row}–${row + length} into slots ${slot}–${slot + length} of segment ${segment}.`,
			);
	}

	#inFileOrder(): Float32Array[] {
		const { layers } = this.#geometry;
		const ordered: Float32Array[] = [];
		for (let layer = 0; layer < layers; layer++)
			for (const segment of this.#buffers) {
				const { key, value } = segment[layer] as LayerBuffers;
				ordered.push(key, value);
			}
		return ordered;
	}

	#wrap(): Record<string, ort.Tensor> {
		const { kvHeads, headDim } = this.#geometry;
		const tensors: Record<string, ort.Tensor> = {};
		this.#buffers.forEach((layers, segment) => {
			const slots = this.#slots[segment] as number;
			layers.forEach(({ key, value }, layer) => {
				tensors[kvNames.key(segment, layer)] = new ort.Tensor("float32", key, [1, kvHeads, headDim, slots]);
				tensors[kvNames.value(segment, layer)] = new ort.Tensor("float32", value, [
					1,
					kvHeads,
					slots,
					headDim,
				]);
			});
		});
		return tensors;
	}

	#wrongSize(got: number): TokError {
		return new TokError(
			"runtime-cpu",
			`load: expected ${this.bytes} bytes of keys and values, got ${got < this.bytes ? "only " : "at least "}${got}. ` +
				"They belong to another shape, or were cut.",
		);
	}

	#checkOpen(): void {
		if (this.#disposed)
			throw new TokError("runtime-cpu", "the key/value store was disposed. Create a new one.");
	}
}

/** Bytes of all buffers: keys and values, float32. */
function kvBytes({ layers, kvHeads, headDim, slots }: KvShape): number {
	const entries = slots.reduce((sum, count) => sum + count, 0);
	return layers * kvHeads * headDim * 2 * 4 * entries;
}

function allocate(kvHeads: number, headDim: number, slots: number): LayerBuffers {
	const size = kvHeads * headDim * slots;
	return { key: new Float32Array(size), value: new Float32Array(size) };
}

function bytesOf(buffer: Float32Array): Uint8Array {
	return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}

function validate(shape: KvShape): void {
	const { layers, kvHeads, headDim, slots } = shape;
	const wrong = [layers, kvHeads, headDim].some((n) => !Number.isSafeInteger(n) || n < 1);
	if (wrong || slots.some((n) => !Number.isSafeInteger(n) || n < 0))
		throw new TokError(
			"runtime-cpu",
			`createKvStore: expected integers ≥ 1 for layers, kvHeads and headDim and ≥ 0 for slots, got ${JSON.stringify(shape)}.`,
		);
}

function checkMemory(bytes: number, limit: number): void {
	if (bytes > limit)
		throw new TokError(
			"runtime-cpu",
			`expected a cache that fits into ${gigabytes(limit)} of memory, got a policy that needs ${gigabytes(bytes)}. ` +
				"Choose a smaller window.",
		);
}

function gigabytes(bytes: number): string {
	return `${(bytes / 2 ** 30).toFixed(1)} GiB`;
}
