/** What stores and banks ask of their arguments, in whatever memory they lie. */
import {
	headCount,
	type KvPart,
	type KvShape,
	type KvWrite,
	kvDiskSlotBytes,
	kvNames,
	kvParts,
	kvSlotBytes,
} from "@tok/runtime";
import type { Resources } from "../resources.ts";
import type { Geometry, SegmentMemory } from "./segment.ts";

export function bytesOf({ slots, ...geometry }: KvShape): number {
	return slots.reduce((sum, count, segment) => sum + count * kvSlotBytes(geometry, segment), 0);
}

/** Of these, the bytes that lie on disk, where the segments do that `isOnDisk` names. */
export function diskBytesOf({ slots, ...geometry }: KvShape, isOnDisk: (segment: number) => boolean): number {
	const ofSegment = (count: number, segment: number): number =>
		isOnDisk(segment) ? count * kvDiskSlotBytes(geometry, segment) : 0;
	return slots.reduce((sum, count, segment) => sum + ofSegment(count, segment), 0);
}

/** One slot's numbers in a segment: a key and a value for each head of each layer. */
export function rowLength(geometry: Geometry, segment: number): number {
	return headCount(kvParts(geometry, segment)) * 2 * geometry.headDim;
}

/** Bytes of memory that buffers take, depending on whether sparse values lie on disk. */
export function memoryBytesOf(shape: KvShape, onDisk: boolean): number {
	return bytesOf(shape) - diskBytesOf(shape, () => onDisk);
}

export function geometryOf(shape: KvShape): Geometry {
	const { slots: _, ...geometry } = copyOf(shape);
	return geometry;
}

/** The shape alone, as a store keeps it: later changes of the caller's object are not its. */
export function copyOf({ layers, kvHeads, headDim, slots, kinds }: KvShape): KvShape {
	return structuredClone({ layers, kvHeads, headDim, slots, ...(kinds && { kinds }) });
}

export function checkShape(
	resources: Resources,
	action: string,
	shape: KvShape,
	formats: SegmentMemory<never>["formats"],
): void {
	const { layers, kvHeads, headDim, slots, kinds = [] } = shape;
	const counts = [layers, kvHeads, headDim];
	if (!counts.every((n) => isInteger(n, 1)) || !slots.every((n) => isInteger(n, 0)))
		throw resources.error(
			`${action}: expected integers ≥ 1 for layers, kvHeads and headDim and ≥ 0 for slots, got ${JSON.stringify(shape)}.`,
		);
	const known = kinds.every(
		({ parts, format = "float32" } = {}) =>
			formats.includes(format) &&
			(format !== "float16" || headDim % 2 === 0) &&
			(parts === undefined || arePartsOf(shape, parts)),
	);
	if (!known || kinds.length > slots.length)
		throw resources.error(
			`${action}: expected kinds of at most ${slots.length} segments, in the format ${formats.join(" or ")} (float16 with an even headDim) and with ` +
				`ascending parts of ${layers} layers with ${kvHeads} heads, got ${JSON.stringify(kinds)}.`,
		);
}

function arePartsOf({ layers, kvHeads }: KvShape, parts: readonly KvPart[]): boolean {
	const ascending = (numbers: readonly number[], end: number): boolean =>
		numbers.length > 0 && numbers.every((n, i) => isInteger(n, (numbers[i - 1] ?? -1) + 1) && n < end);
	return (
		ascending(
			parts.map(({ layer }) => layer),
			layers,
		) && parts.every(({ heads }) => ascending(heads, kvHeads))
	);
}

/** Throws unless a run's fresh rows have the shape of such a cache. */
export function checkFresh(
	resources: Resources,
	dims: readonly number[],
	{ layers, kvHeads, headDim }: Geometry,
	batch: number,
): void {
	const planes = layers * 2 * kvHeads;
	const [stores, heads, , width] = dims;
	if (dims.length !== 4 || stores !== batch || heads !== planes || width !== headDim)
		throw resources.error(
			`${kvNames.fresh}: expected [${batch}, ${planes}, tokens, ${headDim}], got [${dims.join(", ")}]. ` +
				"Create the store with the shape of this graph.",
		);
}

export function checkWrite(
	resources: Resources,
	{ segment, row, slot, length }: KvWrite,
	tokens: number,
	slots: number | undefined,
): void {
	const integers = [row, slot, length].every((n) => isInteger(n, 0));
	if (!integers || slots === undefined || row + length > tokens || slot + length > slots)
		throw resources.error(
			`write: expected rows within ${tokens} and slots within ${slots ?? "a known segment"}, ` +
				`got ${length} rows from row ${row} into slot ${slot} of segment ${segment}.`,
		);
}

export function isInteger(n: number, least: number): boolean {
	return Number.isSafeInteger(n) && n >= least;
}
