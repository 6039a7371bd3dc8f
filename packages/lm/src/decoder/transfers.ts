/**
 * Carries out a plan's transfers: what leaves one segment is read from its slots, becomes what the next keeps of it,
 * and is written there. Keys are rotated once when they are written (at `origin + e`), so moving an entry means
 * turning its key by the difference of two positions; what is kept at one distance stands at position 0.
 */
import type { Plan, Policy, Range, SegmentView, Transfer } from "@tok/kv-cache";
import { type Pairing, type RopeFrequencies, ropeAngles } from "@tok/rope";
import { type KvPart, type KvShape, type KvStore, TokError } from "@tok/runtime";
import type { LayerKind } from "../architectures/architecture.ts";
import { type Compressor, compressors } from "./compressors.ts";
import type { DecoderConfig } from "./decoder-config.ts";

export interface TransferContext {
	readonly config: DecoderConfig;
	readonly policy: Policy;
	readonly ropes: readonly RopeFrequencies[];
	readonly pairing: Pairing;
	readonly store: KvStore;
}

/** Throws unless every compressor of the policy is known. */
export function checkCompressors(policy: Policy): void {
	for (const { compressor } of policy) if (compressor !== undefined) compressorOf(compressor);
}

export async function carryOut(plan: Plan, context: TransferContext): Promise<void> {
	for (const transfer of plan.transfers) await carryOutOne(plan, transfer, context);
}

async function carryOutOne(
	{ segments }: Plan,
	{ from, entries, to, into }: Transfer,
	{ config, policy, ropes, pairing, store }: TransferContext,
): Promise<void> {
	const { takes, compressor } = policy[to] ?? {};
	if (typeof takes !== "object") throw new TokError("lm", `internal: segment ${to} takes no drops.`);
	// Slots by the plan: buffers may have more.
	const slotsOf = (segment: number): number => (segments[segment] as SegmentView).slots;
	const read = await readRange(store, from, entries, slotsOf(from));
	const rows = new Rows(config, partsIn(store.shape, from), read).only(partsIn(store.shape, to));
	const positionIn = (segment: number, entry: number): number =>
		policy[segment]?.distance === undefined ? (segments[segment] as SegmentView).origin + entry : 0;
	const rotation = { ropes, pairing };
	rows.rotate((i) => -positionIn(from, entries.start + i), rotation);
	const made = compressor === undefined ? rows : rows.merged(takes.group, compressorOf(compressor));
	made.rotate((i) => positionIn(to, into.start + i), rotation);
	await writeRange(store, to, into, made, slotsOf(to));
}

/** Heads that a segment's buffers hold, layers ascending. */
export function partsIn({ layers, kvHeads, kinds }: KvShape, segment: number): readonly KvPart[] {
	const heads = Array.from({ length: kvHeads }, (_, head) => head);
	return kinds?.[segment]?.parts ?? Array.from({ length: layers }, (_, layer) => ({ layer, heads }));
}

function compressorOf(name: string): Compressor {
	const compressor = compressors.get(name);
	if (compressor !== undefined) return compressor;
	throw new TokError(
		"lm",
		`compressive: expected a compressor among ${[...compressors.keys()].join(", ")}, got "${name}".`,
	);
}

/** Keys and values of some entries on the host, in some heads: float32 [layers, 2, heads, length, headDim]. */
export class Rows {
	readonly data: Float32Array;
	readonly length: number;
	readonly #parts: readonly KvPart[];
	readonly #config: DecoderConfig;

	constructor(config: DecoderConfig, parts: readonly KvPart[], data: Float32Array) {
		const heads = parts.reduce((sum, part) => sum + part.heads.length, 0);
		this.#config = config;
		this.#parts = parts;
		this.data = data;
		this.length = data.length / (heads * 2 * config.headDim);
	}

	/** The rows of fewer heads. */
	only(parts: readonly KvPart[]): Rows {
		const from = new Map([...this.#planes()].map(({ name, rows }) => [name, rows]));
		const heads = parts.reduce((sum, part) => sum + part.heads.length, 0);
		const data = new Float32Array(heads * 2 * this.length * this.#config.headDim);
		const fewer = new Rows(this.#config, parts, data);
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
			if (kind === "key" && turn !== undefined) turnPlane(rows, this.length, turn, pairing);
		}
	}

	/** Each head's keys, or values, [length, headDim], where they lie. */
	*#planes(): Generator<{ name: string; layer: number; kind: "key" | "value"; rows: Float32Array }> {
		const size = this.length * this.#config.headDim;
		let at = 0;
		for (const { layer, heads } of this.#parts)
			for (const kind of ["key", "value"] as const)
				for (const head of heads) {
					yield { name: `${layer}.${kind}.${head}`, layer, kind, rows: this.data.subarray(at, at + size) };
					at += size;
				}
	}

	/** Each `group` entries in one. */
	merged(group: number, merge: Compressor): Rows {
		const { headDim } = this.#config;
		const data = new Float32Array(this.data.length / group);
		for (let to = 0; to < data.length; to += headDim) {
			const entries = this.data.subarray(to * group, (to + headDim) * group);
			merge(entries, data.subarray(to, to + headDim));
		}
		return new Rows(this.#config, this.#parts, data);
	}
}

export interface Turning {
	readonly ropes: readonly RopeFrequencies[];
	readonly pairing: Pairing;
}

function turnPlane(
	plane: Float32Array, // [length, headDim]
	length: number,
	{ cos, sin }: { readonly cos: Float64Array; readonly sin: Float64Array }, // [length, rotaryDim / 2]
	pairing: Pairing,
): void {
	const headDim = plane.length / length;
	const half = cos.length / length;
	const [step, offset] = pairing === "half" ? [1, half] : [2, 1];
	for (let i = 0, at = 0; i < length; i++)
		for (let pair = 0; pair < half; pair++, at++) {
			const a = i * headDim + step * pair;
			const b = a + offset;
			const [x, y] = [plane[a] as number, plane[b] as number];
			const [c, s] = [cos[at] as number, sin[at] as number];
			plane[a] = x * c - y * s;
			plane[b] = x * s + y * c;
		}
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

export async function readRange(
	store: KvStore,
	segment: number,
	entries: Range,
	slots: number,
): Promise<Float32Array> {
	const { headDim } = store.shape;
	const parts: { rows: Float32Array; length: number }[] = [];
	for (const { slot, length } of runsOf(entries, slots))
		parts.push({ rows: await store.readSlots(segment, slot, length), length });
	const [only] = parts;
	if (only !== undefined && parts.length === 1) return only.rows;
	const whole = entries.end - entries.start;
	const joined = new Float32Array(parts.reduce((sum, { rows }) => sum + rows.length, 0));
	let before = 0;
	for (const { rows, length } of parts) {
		copyPlanes(rows, { from: 0, of: length }, joined, { from: before, of: whole }, length, headDim);
		before += length;
	}
	return joined;
}

async function writeRange(
	store: KvStore,
	segment: number,
	into: Range,
	{ data, length: whole }: Rows,
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
