/** What a policy's cache holds, in layers and bytes: known from the configuration alone, before any weight is read. */
import { fullSlots, type Policy } from "@tok/kv-cache";
import type { KvShape } from "@tok/runtime";
import type { DecoderConfig } from "./decoder-config.ts";

/** The buffers of a policy's cache with so many slots. */
export function cacheShape(
	{ layers, kvHeads, headDim }: DecoderConfig,
	policy: Policy,
	slots: readonly number[],
	memoryLayers: readonly number[],
): KvShape {
	const shape = { layers: layers.length, kvHeads, headDim, slots };
	const archive = policy.findIndex(({ recall }) => recall !== undefined);
	// What an archive sends on has to be there in every layer.
	const sendsOn = typeof policy[archive - 1]?.takes === "object";
	if (archive < 0 || sendsOn || memoryLayers.length === layers.length) return shape;
	return { ...shape, layersOf: slots.map((_, segment) => (segment === archive ? memoryLayers : undefined)) };
}

/** Bytes of a policy's buffers when full, float32; Infinity for `dense`, 0 for `recompute`, which keeps none. */
export function cacheBytes(config: DecoderConfig, policy: Policy, memoryLayers: readonly number[]): number {
	const { layers, kvHeads, headDim, slots, layersOf } = cacheShape(
		config,
		policy,
		fullSlots(policy),
		memoryLayers,
	);
	const entries = slots.reduce(
		(sum, count, segment) => sum + count * (layersOf?.[segment]?.length ?? layers),
		0,
	);
	return entries * 2 * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT;
}

/** Bytes of one entry's keys and values in every layer, float32. */
export function cacheBytesPerEntry({ layers, kvHeads, headDim }: DecoderConfig): number {
	return layers.length * 2 * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT;
}

/** Layers that can recall: those that look back without a limit of their own. */
export function layersWithoutWindow({ layers }: DecoderConfig): readonly number[] {
	return [...layers.keys()].filter((layer) => layers[layer]?.window === undefined);
}
