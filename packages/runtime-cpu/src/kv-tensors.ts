/** Keys and values as onnxruntime's tensors, and fresh rows on their way back. */
import { type KvPart, type KvShape, kvNames, kvSlotBytes, TokError } from "@tok/runtime";
import * as ort from "onnxruntime-node";
import type { FreshRows, Geometry, SegmentBuffers } from "./segment-buffers.ts";

/** By the names of `kvNames`. */
export type KvTensors = Readonly<Record<string, ort.Tensor>>;

/** @param segments Buffers of `batch` stores, one after the other. */
export function kvTensors(
	segments: readonly SegmentBuffers[],
	{ headDim }: Geometry,
	batch: number,
): KvTensors {
	const tensors: Record<string, ort.Tensor> = {};
	segments.forEach(({ slots, parts }, segment) => {
		for (const { layer, heads, key, value } of parts) {
			const dims = (...last: number[]): number[] => [batch, heads.length, 1, ...last];
			tensors[kvNames.key(segment, layer)] = tensorOf(key.data, dims(headDim, slots));
			tensors[kvNames.value(segment, layer)] = tensorOf(value.data, dims(slots, headDim));
			if (key.scales === undefined || value.scales === undefined) continue;
			tensors[kvNames.keyScale(segment, layer)] = tensorOf(key.scales, dims(1, slots));
			tensors[kvNames.valueScale(segment, layer)] = tensorOf(value.scales, dims(slots, 1));
		}
	});
	return tensors;
}

function tensorOf(data: Float32Array | Int8Array, dims: readonly number[]): ort.Tensor {
	return data instanceof Float32Array
		? new ort.Tensor("float32", data, dims)
		: new ort.Tensor("int8", data, dims);
}

/** The rows of each store of the batch. Throws when the output is of another shape. */
export function freshRows({ data, dims }: ort.Tensor, geometry: Geometry, batch: number): FreshRows[] {
	const { layers, kvHeads, headDim } = geometry;
	const [stores, heads, tokens, width] = dims;
	const planes = layers * 2 * kvHeads;
	if (dims.length !== 4 || stores !== batch || heads !== planes || tokens === undefined || width !== headDim)
		throw new TokError(
			"runtime-cpu",
			`${kvNames.fresh}: expected [${batch}, ${planes}, tokens, ${headDim}], got [${dims.join(", ")}]. ` +
				"Create the store with the shape of this graph.",
		);
	const size = planes * tokens * headDim;
	return Array.from({ length: batch }, (_, i) => ({
		data: (data as Float32Array).subarray(i * size, (i + 1) * size),
		tokens,
	}));
}

export function bytesOf({ slots, ...geometry }: KvShape): number {
	return slots.reduce((sum, count, segment) => sum + count * kvSlotBytes(geometry, segment), 0);
}

/** The shape alone, as a store keeps it: later changes of the caller's object are not its. */
export function copyOf({ layers, kvHeads, headDim, slots, kinds }: KvShape): KvShape {
	return structuredClone({ layers, kvHeads, headDim, slots, ...(kinds && { kinds }) });
}

export function checkShape(action: string, shape: KvShape): void {
	const { layers, kvHeads, headDim, slots, kinds = [] } = shape;
	const counts = [layers, kvHeads, headDim];
	if (!counts.every((n) => isInteger(n, 1)) || !slots.every((n) => isInteger(n, 0)))
		throw new TokError(
			"runtime-cpu",
			`${action}: expected integers ≥ 1 for layers, kvHeads and headDim and ≥ 0 for slots, got ${JSON.stringify(shape)}.`,
		);
	const known = kinds.every(
		({ parts, format = "float32" } = {}) =>
			(format === "float32" || format === "int8") && (parts === undefined || arePartsOf(shape, parts)),
	);
	if (!known || kinds.length > slots.length)
		throw new TokError(
			"runtime-cpu",
			`${action}: expected kinds of at most ${slots.length} segments, with formats float32 or int8 and ascending parts ` +
				`of ${layers} layers with ${kvHeads} heads, got ${JSON.stringify(kinds)}.`,
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

export function isInteger(n: number, least: number): boolean {
	return Number.isSafeInteger(n) && n >= least;
}
