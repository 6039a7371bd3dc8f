/**
 * A key/value store by definition: one number per coordinate, no layout. Stores are compared with it. Its buffers
 * spell out the layouts that `kvNames` promises.
 */
import { type KvShape, type KvWrite, kvNames, type Tensor } from "../runtime.ts";
import { layersOfSegment } from "./graphs.ts";
import { floats } from "./tensors.ts";

type Kind = "key" | "value";

export class NaiveStore {
	readonly #shape: Omit<KvShape, "slots">;
	readonly #slots: number[];
	/** "segment.layer.kind.head.slot.d" → number; 0 where there is none. */
	readonly #numbers: Map<string, number>;

	constructor({ slots, ...shape }: KvShape, numbers: ReadonlyMap<string, number> = new Map()) {
		this.#shape = shape;
		this.#slots = [...slots];
		this.#numbers = new Map(numbers);
	}

	get shape(): KvShape {
		return { ...this.#shape, slots: [...this.#slots] };
	}

	/** `rows` as `readSlots` gives them. */
	writeSlots(segment: number, slot: number, rows: Float32Array): void {
		const { kvHeads, headDim } = this.#shape;
		const own = layersOfSegment(this.shape, segment);
		const length = rows.length / (own.length * 2 * kvHeads * headDim);
		let next = 0;
		for (const layer of own)
			for (const kind of ["key", "value"])
				for (let head = 0; head < kvHeads; head++)
					for (let i = 0; i < length; i++)
						for (let d = 0; d < headDim; d++)
							this.#numbers.set([segment, layer, kind, head, slot + i, d].join("."), rows[next++] as number);
	}

	/** `fresh` is [1, layers · 2 · kvHeads, tokens, headDim]. */
	write(writes: readonly KvWrite[], fresh: Tensor): void {
		const { layers, kvHeads, headDim } = this.#shape;
		const tokens = fresh.dims[2] as number;
		for (const { segment, row, slot, length } of writes)
			for (let layer = 0; layer < layers; layer++)
				for (const [k, kind] of (["key", "value"] as const).entries())
					for (let head = 0; head < kvHeads; head++)
						for (let i = 0; i < length; i++)
							for (let d = 0; d < headDim; d++) {
								const index = (((layer * 2 + k) * kvHeads + head) * tokens + row + i) * headDim + d;
								const address = [segment, layer, kind, head, slot + i, d].join(".");
								this.#numbers.set(address, fresh.data[index] as number);
							}
	}

	/** Rows as a store gives them: [layers, 2, kvHeads, length, headDim]. */
	readSlots(segment: number, slot: number, length: number): Float32Array {
		const { kvHeads, headDim } = this.#shape;
		const rows: number[] = [];
		for (const layer of layersOfSegment(this.shape, segment))
			for (const kind of ["key", "value"])
				for (let head = 0; head < kvHeads; head++)
					for (let i = 0; i < length; i++)
						for (let d = 0; d < headDim; d++)
							rows.push(this.#numbers.get([segment, layer, kind, head, slot + i, d].join(".")) ?? 0);
		return Float32Array.from(rows);
	}

	grow(segment: number, slots: number): void {
		this.#slots[segment] = slots;
	}

	fork(): NaiveStore {
		return new NaiveStore(this.shape, this.#numbers);
	}

	/** Every buffer by the name of its graph input, in the order of `KvStore.read`: layer, segment, key, value. */
	buffers(): Map<string, Tensor<"float32">> {
		const { layers, kvHeads, headDim } = this.#shape;
		const named = new Map<string, Tensor<"float32">>();
		for (let layer = 0; layer < layers; layer++)
			this.#slots.forEach((slots, segment) => {
				if (!layersOfSegment(this.shape, segment).includes(layer)) return;
				const keys: number[] = []; // [kvHeads, headDim, slots]
				const values: number[] = []; // [kvHeads, slots, headDim]
				const at = (kind: Kind, head: number, slot: number, d: number): number =>
					this.#numbers.get([segment, layer, kind, head, slot, d].join(".")) ?? 0;
				for (let head = 0; head < kvHeads; head++) {
					for (let d = 0; d < headDim; d++)
						for (let slot = 0; slot < slots; slot++) keys.push(at("key", head, slot, d));
					for (let slot = 0; slot < slots; slot++)
						for (let d = 0; d < headDim; d++) values.push(at("value", head, slot, d));
				}
				named.set(kvNames.key(segment, layer), floats([1, kvHeads, 1, headDim, slots], keys));
				named.set(kvNames.value(segment, layer), floats([1, kvHeads, 1, slots, headDim], values));
			});
		return named;
	}
}
