/**
 * Carries out a plan's transfers: what leaves one segment is read from its slots, becomes what the next keeps of it,
 * and is written there. Keys are rotated once when they are written (at `origin + e`), so moving an entry means
 * turning its key by the difference of two positions; what is kept at one distance stands at position 0.
 */
import type { Plan, Policy, SegmentView, Transfer } from "@tok/kv-cache";
import { type KvStore, kvParts, TokError } from "@tok/runtime";
import type { AttentionMass } from "./attention-mass.ts";
import type { Compressors } from "./compressors.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { readEntries, type Turning, writeEntries } from "./entry-rows.ts";

const NONE = new Float64Array(0);

export interface TransferContext extends Turning {
	readonly config: DecoderConfig;
	readonly policy: Policy;
	readonly compressors: Compressors;
	readonly store: KvStore;
	/** Where a compressor asks for it. */
	readonly attentionMass: AttentionMass | undefined;
}

export async function carryOut(plan: Plan, context: TransferContext): Promise<void> {
	for (const transfer of plan.transfers) await carryOutOne(plan, transfer, context);
}

async function carryOutOne(
	{ segments }: Plan,
	{ from, entries, to, into }: Transfer,
	{ config, policy, compressors, ropes, pairing, store, attentionMass }: TransferContext,
): Promise<void> {
	const { takes, compressor } = policy[to] ?? {};
	if (typeof takes !== "object") throw new TokError("lm", `internal: segment ${to} takes no drops.`);
	const slotsOf = (segment: number): number => (segments[segment] as SegmentView).slots;
	const dropped = await readEntries({ config, store }, from, entries, slotsOf(from));
	const rows = dropped.only(kvParts(store.shape, to));
	const positionIn = (segment: number, entry: number): number =>
		policy[segment]?.distance === undefined ? (segments[segment] as SegmentView).origin + entry : 0;
	const rotation = { ropes, pairing };
	rows.rotate((i) => -positionIn(from, entries.start + i), rotation);
	const counted = compressor !== undefined && compressors.counts(compressor) ? attentionMass : undefined;
	const made =
		compressor === undefined
			? rows
			: rows.merged(takes.group, (group, out, first) => {
					const head = group.layer * config.kvHeads + group.head;
					const fell = counted?.of(head, entries.start + first, takes.group) ?? NONE;
					compressors.merge(compressor, { ...group, attention: fell }, out);
				});
	made.rotate((i) => positionIn(to, into.start + i), rotation);
	await writeEntries(store, to, into, made, slotsOf(to));
}
