/**
 * A key/value store by definition: one number per coordinate, no layout. Stores are compared with it. Its buffers
 * spell out the layouts that `kvNames` promises. What it is given for a segment in float16 has to be float16's already.
 */
import { float16Bits } from "@tok/graph";
import { headCount, kvParts } from "../kv-shape.ts";
import { type KvFormat, type KvPart, type KvShape, type KvWrite, kvNames, type Tensor } from "../runtime.ts";
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
		const { headDim } = this.#shape;
		const own = kvParts(this.shape, segment);
		const length = rows.length / (headCount(own) * 2 * headDim);
		let next = 0;
		for (const { layer, heads } of own)
			for (const kind of ["key", "value"])
				for (const head of heads)
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

	/** Rows as a store gives them: [layers, 2, heads, length, headDim]. */
	readSlots(segment: number, slot: number, length: number): Float32Array {
		const scaled = this.#shape.kinds?.[segment]?.format === "int8";
		const rows: number[] = [];
		for (const { layer, heads } of kvParts(this.shape, segment))
			for (const kind of ["key", "value"] as const)
				for (const head of heads)
					for (let i = 0; i < length; i++) {
						const row = this.#row(segment, layer, kind, head, slot + i);
						const { codes, scale } = quantised(row, kind);
						rows.push(...(scaled ? codes.map((code) => code * scale) : row));
					}
		return Float32Array.from(rows);
	}

	grow(segment: number, slots: number): void {
		this.#slots[segment] = slots;
	}

	fork(): NaiveStore {
		return new NaiveStore(this.shape, this.#numbers);
	}

	/** Every buffer by the name of its graph input, in the order of `KvStore.read`: layer, segment, key, value. */
	buffers(): Map<string, Tensor<KvFormat>> {
		const named = new Map<string, Tensor<KvFormat>>();
		for (let layer = 0; layer < this.#shape.layers; layer++)
			for (const segment of this.#slots.keys()) {
				const part = kvParts(this.shape, segment).find((each) => each.layer === layer);
				if (part === undefined) continue;
				this.#buffer(named, segment, part, "key");
				this.#buffer(named, segment, part, "value");
			}
		return named;
	}

	#buffer(named: Map<string, Tensor<KvFormat>>, segment: number, { layer, heads }: KvPart, kind: Kind): void {
		const { headDim, kinds } = this.#shape;
		const slots = this.#slots[segment] as number;
		const { format = "float32" } = kinds?.[segment] ?? {};
		const scaled = format === "int8";
		const numbers: number[] = []; // keys [heads, headDim, slots], values [heads, slots, headDim]
		const scales: number[] = []; // [heads, slots]
		for (const head of heads) {
			const rows = Array.from({ length: slots }, (_, slot) => {
				const row = this.#row(segment, layer, kind, head, slot);
				if (!scaled) return row;
				const { codes, scale } = quantised(row, kind);
				scales.push(scale);
				return codes;
			});
			if (kind === "value") numbers.push(...rows.flat());
			else for (let d = 0; d < headDim; d++) numbers.push(...rows.map((row) => row[d] as number));
		}
		const dims = (columns: number): number[] =>
			kind === "key" ? [1, heads.length, 1, columns, slots] : [1, heads.length, 1, slots, columns];
		const name = kvNames[kind](segment, layer);
		const data = floats(dims(headDim), numbers);
		if (format === "float16")
			named.set(name, { ...data, dtype: "float16", data: Uint16Array.from(numbers, float16Bits) });
		if (format === "float32") named.set(name, data);
		if (!scaled) return;
		named.set(name, { ...data, dtype: "int8", data: Int8Array.from(numbers) });
		named.set(kvNames[`${kind}Scale`](segment, layer), floats(dims(1), scales));
	}

	#row(segment: number, layer: number, kind: Kind, head: number, slot: number): number[] {
		return Array.from(
			{ length: this.#shape.headDim },
			(_, d) => this.#numbers.get([segment, layer, kind, head, slot, d].join(".")) ?? 0,
		);
	}
}

/** x ≈ code · scale, the largest magnitude at 127, or at 63 in a value. */
function quantised(row: readonly number[], kind: Kind): { readonly codes: number[]; readonly scale: number } {
	const scale = Math.fround(Math.max(...row.map(Math.abs)) / (kind === "key" ? 127 : 63));
	return { scale, codes: row.map((x) => (scale === 0 ? 0 : Math.round(x / scale))) };
}
