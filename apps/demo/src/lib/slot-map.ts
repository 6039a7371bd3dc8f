/**
 * Which slot of a cache holds what, as one byte a cell: from the plans of @tok/kv-cache alone, for a cache that reads
 * along with a session. Long archives have a cell for a group of slots, so that a map stays small.
 */
import type { KvCache, Write } from "@tok/kv-cache";

export const slotState = { free: 0, sink: 1, kept: 2, fresh: 3, leaving: 4, archived: 5, merged: 6 } as const;
export type SlotState = (typeof slotState)[keyof typeof slotState];

export interface SlotSegment {
	/** "sink", "rolling", … */
	readonly kind: string;
	/** Slots that a cell stands for. */
	readonly group: number;
	/** One `SlotState` a cell. */
	readonly cells: Uint8Array;
}

/** Cells of a segment at the most; beyond, they stand for several slots. */
const MOST_CELLS = 1024;

/** Reads `count` tokens; returns where they went. */
export function advance(cache: KvCache, count: number): readonly Write[] {
	const writes: Write[] = [];
	for (let left = count; left > 0; ) {
		const plan = cache.plan(left);
		cache.commit(plan);
		writes.push(...plan.writes);
		left -= plan.take;
	}
	return writes;
}

/** @param written What `advance` has returned for the tokens that count as fresh. */
export function slotMap(cache: KvCache, written: readonly Write[]): readonly SlotSegment[] {
	const [first] = cache.policy;
	if (first?.kind === "recompute") return [reread(first.slots, cache.retained)];
	const { segments, writes } = cache.plan(1);
	return segments.map(({ segment, slots, cached }) => {
		const { kind, recall } = cache.policy[segment] as (typeof cache.policy)[number];
		const states = new Uint8Array(slots);
		const held = { sink: slotState.sink, memory: slotState.archived, compressive: slotState.merged }[kind];
		// Of a memory that has no room yet there are no slots.
		for (let entry = cached.start; slots > 0 && entry < cached.end; entry++)
			states[entry % slots] = held ?? slotState.kept;
		if (kind !== "sink") mark(states, written, segment, slotState.fresh);
		mark(states, writes, segment, slotState.leaving, (state) => state !== slotState.free);
		const { takes } = cache.policy[segment] as (typeof cache.policy)[number];
		const block = recall !== undefined && typeof takes === "object" ? takes.entries : 1;
		return { kind, ...grouped(states, block) };
	});
}

function mark(
	states: Uint8Array,
	writes: readonly Write[],
	segment: number,
	state: SlotState,
	where: (state: number) => boolean = () => true,
): void {
	for (const write of writes) {
		if (write.segment !== segment) continue;
		for (let slot = write.slot; slot < write.slot + write.length; slot++)
			if (where(states[slot] ?? slotState.free)) states[slot] = state;
	}
}

/** All that is read again for the next token. */
function reread(slots: number, retained: number): SlotSegment {
	return { kind: "recompute", ...grouped(new Uint8Array(slots).fill(slotState.fresh, 0, retained), 1) };
}

/** A cell shows the state that most deserves to be seen of its slots. */
function grouped(states: Uint8Array, least: number): { readonly group: number; readonly cells: Uint8Array } {
	let group = least;
	while (states.length / group > MOST_CELLS) group *= 2;
	if (group === 1) return { group, cells: states };
	const cells = new Uint8Array(Math.ceil(states.length / group));
	for (const [cell] of cells.entries()) {
		const part = states.subarray(cell * group, (cell + 1) * group);
		cells[cell] = part.includes(slotState.fresh)
			? slotState.fresh
			: Math.max(...part.filter((s) => s !== slotState.leaving), 0);
	}
	return { group, cells };
}
