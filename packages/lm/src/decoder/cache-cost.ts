/** What a policy's cache holds, in entries and bytes: known from the configuration alone, before any weight is read. */
import { fullSlots, type Policy } from "@tok/kv-cache";
import type { DecoderConfig } from "./decoder-config.ts";

/** Entries that a policy's buffers hold when full; Infinity for `dense`, 0 for `recompute`, which keeps none. */
export function policyEntries(policy: Policy): number {
	return fullSlots(policy).reduce((sum, slots) => sum + slots, 0);
}

/** Bytes of one entry's keys and values in every layer, float32. */
export function cacheBytesPerEntry({ layers, kvHeads, headDim }: DecoderConfig): number {
	return layers.length * 2 * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT;
}
