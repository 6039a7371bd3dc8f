/** What a policy's cache holds, in heads and bytes: known from the configuration alone, before any weight is read. */
import { fullSlots, type Policy, type Segment } from "@tok/kv-cache";
import {
	headCount,
	type KvFormat,
	type KvKind,
	type KvPart,
	type KvShape,
	kvDiskSlotBytes,
	kvSlotBytes,
} from "@tok/runtime";
import { archiveLayout } from "./archive-layout.ts";
import type { DecoderConfig } from "./decoder-config.ts";

/** Where and how sessions of a model remember. */
export interface Remembering {
	/** Heads that recall. */
	readonly heads: readonly KvPart[];
	/** How entries are kept: "int8" where there are many of them, "float16" wherever graphs compute in it. */
	readonly format: KvFormat;
}

/**
 * Slots from which on a window is kept in 8 bits, where the weights are: below, coding what it is multiplied with takes
 * the time that fetching fewer bytes saves. Only behind sinks: a window that holds the first token would code its
 * weights in steps of that one's, which is most of them (docs/performance.md).
 */
const CODED_SLOTS = 512;
/** Codes are fetched fastest in whole vectors. */
const CODED_STEP = 16;

/** Whether a policy looks back on an archive. Which blocks it chooses is counted in float32, beyond float16's 2,048. */
export function recalls(policy: Policy): boolean {
	return policy.some(({ recall }) => recall !== undefined);
}

/** How a policy's segments are kept. */
export function segmentFormats(policy: Policy, { format }: Remembering): readonly KvFormat[] {
	if (format === "float16") return policy.map(() => (recalls(policy) ? "float32" : "float16"));
	const behindSinks = policy[0]?.takes === "tokens";
	return policy.map(({ takes, slots, recall }) => {
		const large = takes === "rest" && slots >= CODED_SLOTS && behindSinks;
		return recall !== undefined || large ? format : "float32";
	});
}

/** The buffers of a policy's cache with so many slots, or a few more. */
export function cacheShape(
	{ layers, kvHeads, headDim }: DecoderConfig,
	policy: Policy,
	slots: readonly number[],
	remembering: Remembering,
): KvShape {
	const { heads } = remembering;
	const formats = segmentFormats(policy, remembering);
	const archive = archiveLayout(policy);
	// What an archive sends on has to be there in every layer.
	const some = archive?.sendsOn === false && headCount(heads) < layers.length * kvHeads;
	const kinds = slots.map((_, segment): KvKind | undefined => {
		const format = formats[segment];
		const parts = some && segment === archive.segment && { parts: heads };
		const coded = format !== undefined && format !== "float32" && { format };
		const sparse = segment === archive?.segment && { sparseValues: true };
		return coded || parts || sparse ? { ...coded, ...parts, ...sparse } : undefined;
	});
	return {
		layers: layers.length,
		kvHeads,
		headDim,
		slots: slots.map((count, segment) => paddedSlots(count, policy[segment], kinds[segment]?.format)),
		...(kinds.some((kind) => kind !== undefined) && { kinds }),
	};
}

/** Slots of a segment's buffers, of which it needs so many. An archive's are whole blocks, and stay so. */
export function paddedSlots(
	slots: number,
	segment: Segment | undefined,
	format: KvFormat | undefined,
): number {
	const padded = segment?.takes === "rest" && format === "int8" && Number.isFinite(slots);
	return padded ? Math.ceil(slots / CODED_STEP) * CODED_STEP : slots;
}

/** Bytes of a policy's buffers when full; Infinity for `dense`, 0 for `recompute`, which keeps none. */
export function cacheBytes(config: DecoderConfig, policy: Policy, remembering: Remembering): number {
	return segmentCosts(config, policy, remembering).reduce((sum, { slots, bytes }) => sum + slots * bytes, 0);
}

/** The slots of each segment's full buffers, the bytes of one, and how many of these a runtime may keep on disk. */
export function segmentCosts(
	config: DecoderConfig,
	policy: Policy,
	remembering: Remembering,
): readonly {
	readonly kind: string;
	readonly slots: number;
	readonly bytes: number;
	readonly diskBytes: number;
}[] {
	const shape = cacheShape(config, policy, fullSlots(policy), remembering);
	return shape.slots.map((slots, segment) => ({
		kind: policy[segment]?.kind ?? "",
		slots,
		bytes: kvSlotBytes(shape, segment),
		diskBytes: kvDiskSlotBytes(shape, segment),
	}));
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
