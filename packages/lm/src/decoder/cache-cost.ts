/** What a policy's cache holds, in heads and bytes: known from the configuration alone, before any weight is read. */
import { fullSlots, type Policy } from "@tok/kv-cache";
import type { KvFormat, KvPart, KvShape } from "@tok/runtime";
import type { DecoderConfig } from "./decoder-config.ts";

/** Where and how sessions of a model remember. */
export interface Remembering {
	/** Heads that recall. */
	readonly heads: readonly KvPart[];
	/** How their archives are kept. */
	readonly format: KvFormat;
}

/** The buffers of a policy's cache with so many slots. */
export function cacheShape(
	{ layers, kvHeads, headDim }: DecoderConfig,
	policy: Policy,
	slots: readonly number[],
	{ heads, format }: Remembering,
): KvShape {
	const shape = { layers: layers.length, kvHeads, headDim, slots };
	const archive = policy.findIndex(({ recall }) => recall !== undefined);
	const whole = heads.reduce((sum, part) => sum + part.heads.length, 0) === layers.length * kvHeads;
	if (archive < 0 || (whole && format === "float32")) return shape;
	// What an archive sends on has to be there in every layer.
	const kind = { format, ...(!whole && !sendsOn(policy) && { parts: heads }) };
	return { ...shape, kinds: slots.map((_, segment) => (segment === archive ? kind : undefined)) };
}

/** Whether what leaves the archive goes on into another segment. */
export function sendsOn(policy: Policy): boolean {
	const archive = policy.findIndex(({ recall }) => recall !== undefined);
	return typeof policy[archive - 1]?.takes === "object";
}

/** Bytes of a policy's buffers when full; Infinity for `dense`, 0 for `recompute`, which keeps none. */
export function cacheBytes(config: DecoderConfig, policy: Policy, remembering: Remembering): number {
	const { kvHeads, headDim, layers, slots, kinds } = cacheShape(
		config,
		policy,
		fullSlots(policy),
		remembering,
	);
	return slots.reduce((sum, count, segment) => {
		const { parts, format } = kinds?.[segment] ?? {};
		const heads = parts?.reduce((sum, part) => sum + part.heads.length, 0) ?? layers * kvHeads;
		return sum + count * heads * 2 * (format === "int8" ? headDim + 4 : 4 * headDim);
	}, 0);
}

/** Bytes of one entry's keys and values in every layer, float32. */
export function cacheBytesPerEntry({ layers, kvHeads, headDim }: DecoderConfig): number {
	return layers.length * 2 * kvHeads * headDim * Float32Array.BYTES_PER_ELEMENT;
}

/** Heads that can recall: those of layers that look back without a limit of their own. */
export function headsWithoutWindow({ layers, kvHeads }: DecoderConfig): readonly KvPart[] {
	const heads = Array.from({ length: kvHeads }, (_, head) => head);
	return [...layers.keys()].flatMap((layer) =>
		layers[layer]?.window === undefined ? [{ layer, heads }] : [],
	);
}
