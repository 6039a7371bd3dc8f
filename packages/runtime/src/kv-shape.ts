/** What follows from the shape of a cache: which heads have buffers of a segment, and what a slot of it takes. */
import type { KvFormat, KvPart, KvShape } from "./runtime.ts";

/** The heads that have buffers of a segment, layers ascending. */
export function kvParts(
	{ layers, kvHeads, kinds }: Omit<KvShape, "slots">,
	segment: number,
): readonly KvPart[] {
	const heads = Array.from({ length: kvHeads }, (_, head) => head);
	return kinds?.[segment]?.parts ?? Array.from({ length: layers }, (_, layer) => ({ layer, heads }));
}

/** Heads of all parts together. */
export function headCount(parts: readonly KvPart[]): number {
	return parts.reduce((sum, { heads }) => sum + heads.length, 0);
}

/** Bytes of one entry's key, or value, in one head; codes have a float32 scale. */
const entryBytes: Readonly<Record<KvFormat, (headDim: number) => number>> = {
	float32: (headDim) => 4 * headDim,
	float16: (headDim) => 2 * headDim,
	int8: (headDim) => headDim + 4,
};

/** Bytes of a slot of a segment, keys and values in all its heads. */
export function kvSlotBytes(shape: Omit<KvShape, "slots">, segment: number): number {
	const { headDim, kinds } = shape;
	const { format = "float32" } = kinds?.[segment] ?? {};
	return headCount(kvParts(shape, segment)) * 2 * entryBytes[format](headDim);
}

/** Of these, the bytes that a runtime may keep on disk: the values', where runs read few of them. */
export function kvDiskSlotBytes(shape: Omit<KvShape, "slots">, segment: number): number {
	// Values take as much as keys.
	return shape.kinds?.[segment]?.sparseValues === true ? kvSlotBytes(shape, segment) / 2 : 0;
}
