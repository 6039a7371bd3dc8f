/** Keys and values as onnxruntime's tensors, and fresh rows on their way back. */
import { type KvShape, kvNames, TokError } from "@tok/runtime";
import * as ort from "onnxruntime-node";
import type { FreshRows, Geometry, LayerBuffers } from "./segment-buffers.ts";

/** Buffers of `batch` stores, one after the other. */
export interface SegmentView {
	readonly slots: number;
	readonly layers: readonly LayerBuffers[];
}

/** By the names of `kvNames`. */
export type KvTensors = Readonly<Record<string, ort.Tensor>>;

export function kvTensors(
	segments: readonly SegmentView[],
	{ kvHeads, headDim }: Geometry,
	batch: number,
): KvTensors {
	const tensors: Record<string, ort.Tensor> = {};
	segments.forEach(({ slots, layers }, segment) => {
		layers.forEach(({ layer, key, value }) => {
			const keyDims = [batch, kvHeads, 1, headDim, slots];
			const valueDims = [batch, kvHeads, 1, slots, headDim];
			tensors[kvNames.key(segment, layer)] = new ort.Tensor("float32", key, keyDims);
			tensors[kvNames.value(segment, layer)] = new ort.Tensor("float32", value, valueDims);
		});
	});
	return tensors;
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

/** Keys and values, float32. */
export function bytesOf({ layers, kvHeads, headDim, slots, layersOf = [] }: KvShape): number {
	const numbers = slots.reduce(
		(sum, count, segment) => sum + count * (layersOf[segment]?.length ?? layers),
		0,
	);
	return numbers * kvHeads * headDim * 2 * Float32Array.BYTES_PER_ELEMENT;
}

/** The shape alone, as a store keeps it: later changes of the caller's object are not its. */
export function copyOf({ layers, kvHeads, headDim, slots, layersOf }: KvShape): KvShape {
	return {
		layers,
		kvHeads,
		headDim,
		slots: [...slots],
		...(layersOf && { layersOf: layersOf.map((own) => own && [...own]) }),
	};
}

export function checkShape(action: string, shape: KvShape): void {
	const { layers, kvHeads, headDim, slots, layersOf = [] } = shape;
	const counts = [layers, kvHeads, headDim];
	if (!counts.every((n) => isInteger(n, 1)) || !slots.every((n) => isInteger(n, 0)))
		throw new TokError(
			"runtime-cpu",
			`${action}: expected integers ≥ 1 for layers, kvHeads and headDim and ≥ 0 for slots, got ${JSON.stringify(shape)}.`,
		);
	const ascending = layersOf.every(
		(own) =>
			own === undefined ||
			(own.length > 0 && own.every((layer, i) => isInteger(layer, (own[i - 1] ?? -1) + 1) && layer < layers)),
	);
	if (!ascending || layersOf.length > slots.length)
		throw new TokError(
			"runtime-cpu",
			`${action}: expected layersOf to name layers below ${layers} of ${slots.length} segments at the most, ascending, ` +
				`got ${JSON.stringify(layersOf)}.`,
		);
}

export function isInteger(n: number, least: number): boolean {
	return Number.isSafeInteger(n) && n >= least;
}
