/**
 * Keys and values of some entries on the host: read from the slots of a segment, turned, merged, and written to those
 * of another. Entry e lies in slot e mod slots, so a range of entries is one run of slots or two.
 */
import type { Range } from "@tok/kv-cache";
import { type Pairing, type RopeFrequencies, ropeAngles, rotateRows } from "@tok/rope";
import { headCount, type KvPart, type KvStore, kvParts } from "@tok/runtime";
import type { LayerKind } from "../architectures/architecture.ts";
import type { CompressorGroup } from "./compressors.ts";
import type { DecoderConfig } from "./decoder-config.ts";

/** How keys are rotated. */
export interface Turning {
	readonly ropes: readonly RopeFrequencies[];
	readonly pairing: Pairing;
}

interface Plane {
	readonly name: string;
	readonly layer: number;
	readonly head: number;
	readonly kind: "key" | "value";
	/** [length, headDim] */
	readonly rows: Float32Array;
}

/** float32 [layers, 2, heads, length, headDim], of some heads. */
export class EntryRows {
	readonly data: Float32Array;
	readonly length: number;
	readonly #parts: readonly KvPart[];
	readonly #config: DecoderConfig;

	constructor(config: DecoderConfig, parts: readonly KvPart[], data: Float32Array) {
		this.#config = config;
		this.#parts = parts;
		this.data = data;
		this.length = data.length / (headCount(parts) * 2 * config.headDim);
	}

	/** The rows of fewer heads. */
	only(parts: readonly KvPart[]): EntryRows {
		const from = new Map([...this.#planes()].map(({ name, rows }) => [name, rows]));
		const data = new Float32Array(headCount(parts) * 2 * this.length * this.#config.headDim);
		const fewer = new EntryRows(this.#config, parts, data);
		for (const { name, rows } of fewer.#planes()) rows.set(from.get(name) as Float32Array);
		return fewer;
	}

	/** Turns entry i's keys by `by(i)` positions and no longer: the attention factor is in them already. */
	rotate(by: (i: number) => number, { ropes, pairing }: Turning): void {
		const positions = Float64Array.from({ length: this.length }, (_, i) => by(i));
		if (positions.every((position) => position === 0)) return;
		const angles = ropes.map((frequencies) => {
			const count = this.length * frequencies.inverseFrequencies.length;
			const out = { cos: new Float64Array(count), sin: new Float64Array(count) };
			return ropeAngles({ ...frequencies, attentionFactor: 1 }, positions, out);
		});
		for (const { layer, kind, rows } of this.#planes()) {
			const { rope } = this.#config.layers[layer] as LayerKind;
			const turn = rope === undefined ? undefined : angles[rope];
			if (kind === "key" && turn !== undefined) rotateRows(rows, turn, this.length, pairing);
		}
	}

	/** Each `group` entries in one; `merge` fills `out` [headDim], of zeros. `first` is the group's first entry here. */
	merged(
		group: number,
		merge: (of: Omit<CompressorGroup, "attention">, out: Float32Array, first: number) => void,
	): EntryRows {
		const { headDim } = this.#config;
		const data = new Float32Array(this.data.length / group);
		let to = 0;
		for (const { layer, head, kind, rows } of this.#planes())
			for (let from = 0; from < rows.length; from += group * headDim, to += headDim) {
				const entries = rows.subarray(from, from + group * headDim);
				merge({ layer, head, kind, entries }, data.subarray(to, to + headDim), from / headDim);
			}
		return new EntryRows(this.#config, this.#parts, data);
	}

	/** Each head's keys, or values, [length, headDim], where they lie. */
	*#planes(): Generator<Plane> {
		const size = this.length * this.#config.headDim;
		let at = 0;
		for (const { layer, heads } of this.#parts)
			for (const kind of ["key", "value"] as const)
				for (const head of heads) {
					yield {
						name: `${layer}.${kind}.${head}`,
						layer,
						head,
						kind,
						rows: this.data.subarray(at, at + size),
					};
					at += size;
				}
	}
}

/** @param slots Those of the plan: buffers may have more. */
export async function readEntries(
	{ config, store }: { readonly config: DecoderConfig; readonly store: KvStore },
	segment: number,
	entries: Range,
	slots: number,
): Promise<EntryRows> {
	const parts: { rows: Float32Array; length: number }[] = [];
	for (const { slot, length } of runsOf(entries, slots))
		parts.push({ rows: await store.readSlots(segment, slot, length), length });
	const of = (rows: Float32Array): EntryRows => new EntryRows(config, kvParts(store.shape, segment), rows);
	const [only] = parts;
	if (only !== undefined && parts.length === 1) return of(only.rows);
	const whole = entries.end - entries.start;
	const joined = new Float32Array(parts.reduce((sum, { rows }) => sum + rows.length, 0));
	let before = 0;
	for (const { rows, length } of parts) {
		copyPlanes(rows, { from: 0, of: length }, joined, { from: before, of: whole }, length, config.headDim);
		before += length;
	}
	return of(joined);
}

/** @param slots Those of the plan: buffers may have more. */
export async function writeEntries(
	store: KvStore,
	segment: number,
	into: Range,
	{ data, length: whole }: EntryRows,
	slots: number,
): Promise<void> {
	const { headDim } = store.shape;
	let before = 0;
	for (const { slot, length } of runsOf(into, slots)) {
		let rows = data;
		if (length !== whole) {
			rows = new Float32Array((data.length / whole) * length);
			copyPlanes(data, { from: before, of: whole }, rows, { from: 0, of: length }, length, headDim);
		}
		await store.writeSlots(segment, slot, rows);
		before += length;
	}
}

/** Lets two ranges of equally many entries of a segment take each other's places. Nothing is written before both are read. */
export async function exchangeEntries(
	from: { readonly config: DecoderConfig; readonly store: KvStore },
	segment: number,
	[a, b]: readonly [Range, Range],
	slots: number,
): Promise<void> {
	const first = await readEntries(from, segment, a, slots);
	const second = await readEntries(from, segment, b, slots);
	await writeEntries(from.store, segment, b, first, slots);
	await writeEntries(from.store, segment, a, second, slots);
}

/** The runs of consecutive slots in which a range of entries lies, in order. */
function* runsOf({ start, end }: Range, slots: number): Generator<{ slot: number; length: number }> {
	for (let entry = start; entry < end; ) {
		const slot = entry % slots;
		const length = Math.min(end - entry, slots - slot);
		yield { slot, length };
		entry += length;
	}
}

/** Copies `length` entries of every plane, from entry `from` of as many as a plane has. */
function copyPlanes(
	source: Float32Array,
	a: { readonly from: number; readonly of: number },
	target: Float32Array,
	b: { readonly from: number; readonly of: number },
	length: number,
	headDim: number,
): void {
	const planes = source.length / (a.of * headDim);
	for (let plane = 0; plane < planes; plane++) {
		const start = (plane * a.of + a.from) * headDim;
		target.set(source.subarray(start, start + length * headDim), (plane * b.of + b.from) * headDim);
	}
}
