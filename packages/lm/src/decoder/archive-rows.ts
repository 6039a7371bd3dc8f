/**
 * The entries of an archive block by block, as they leave a session: those that lie in it, then the whole blocks of the
 * window after it, their keys rotated back. An archived key has no position, so the blocks mean the same elsewhere.
 */
import { type CacheSnapshot, type KvCache, leastRecalled, type Range } from "@tok/kv-cache";
import { type KvStore, kvParts } from "@tok/runtime";
import type { ArchiveLayout } from "./archive-layout.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { readEntries, type Turning } from "./entry-rows.ts";

type Segment = CacheSnapshot["segments"][number];

export interface ArchivedBlock {
	/** Its first entry. */
	readonly entry: number;
	/** The same when it arrived. */
	readonly arrived: number;
}

export interface ArchiveExtent {
	/**
	 * What leaves, from the oldest to the newest: the whole blocks that it would keep. In the archive's numbers, which go on
	 * in the window.
	 */
	readonly blocks: readonly ArchivedBlock[];
	/** Blocks that left the archive earlier, or would now. */
	readonly dropped: number;
	/** Entries below this one lie in the archive, the others in the window. */
	readonly archived: number;
	/** What makes a number of the archive's one of the window's. */
	readonly windowOffset: number;
	/** Entries of sinks, which are never archived. */
	readonly sinks: number;
	/** Entries of the window after its last whole block. */
	readonly rest: number;
	/** Slots in which entry e lies at e mod slots. */
	readonly slots: { readonly archive: number; readonly window: number };
}

/** Only for an archive that takes what the window drops. */
export function archiveExtent(
	cache: KvCache,
	{ segment, blockSize, capacity, chooses }: ArchiveLayout,
	recalls: (arrival: number) => number,
): ArchiveExtent {
	const { segments, arrivals = [] } = cache.snapshot();
	const archive = segments[segment] as Segment;
	const window = segments.at(-1) as Segment;
	const waiting = window.end - window.start;
	const rest = waiting % blockSize;
	const end = archive.end + waiting - rest;
	const all = Array.from({ length: (end - archive.start) / blockSize }, (_, i): ArchivedBlock => {
		const entry = archive.start + i * blockSize;
		return { entry, arrived: (arrivals[i] ?? entry / blockSize) * blockSize };
	});
	const kept = capacity / blockSize;
	const numbers = all.map(({ arrived }) => arrived / blockSize);
	const order = leastRecalled(numbers, { kept, recalled: chooses ? recalls : () => 0 });
	const leaving = new Set(order.slice(0, Math.max(0, all.length - kept)));
	const blocks = all
		.filter(({ arrived }) => !leaving.has(arrived / blockSize))
		.sort((a, b) => a.arrived - b.arrived);
	return {
		blocks,
		dropped: end / blockSize - blocks.length,
		archived: archive.end,
		windowOffset: window.start - archive.end,
		sinks: cache.policy.reduce(
			(sum, { takes }, k) => sum + (takes === "tokens" ? (segments[k] as Range).end : 0),
			0,
		),
		rest,
		slots: { archive: archive.slots, window: window.slots },
	};
}

export interface ArchiveRowsOptions extends Turning {
	readonly config: DecoderConfig;
	readonly store: KvStore;
	readonly layout: ArchiveLayout;
}

/** Each block as float32 [layers, 2, heads, blockSize, headDim], in the archive's layers and heads, the oldest first. */
export async function* archiveRows(
	{ blocks, archived, windowOffset, slots }: ArchiveExtent,
	{ config, store, layout, ropes, pairing }: ArchiveRowsOptions,
): AsyncGenerator<Float32Array> {
	const { segment, blockSize, origin } = layout;
	const window = store.shape.slots.length - 1;
	for (const { entry } of blocks) {
		if (entry < archived) {
			const block = { start: entry, end: entry + blockSize };
			yield (await readEntries({ config, store }, segment, block, slots.archive)).data;
			continue;
		}
		const start = entry + windowOffset;
		const block = { start, end: start + blockSize };
		const held = await readEntries({ config, store }, window, block, slots.window);
		const rows = held.only(kvParts(store.shape, segment));
		rows.rotate((i) => -(origin + start + i), { ropes, pairing });
		yield rows.data;
	}
}
