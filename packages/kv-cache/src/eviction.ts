/**
 * Room in an archive whose least recalled blocks leave first. What a segment holds stays one range of entries all the
 * same: of the range's first blocks those that stay move into the places of those that leave, and the range begins
 * after them. So a block is known by its number on arrival, wherever it lies. All recalled entries stand at one
 * distance (`Segment.distance`), so nothing depends on their order.
 */
import { fail } from "./errors.ts";
import type { Transfer } from "./plan.ts";
import type { Policy } from "./policy.ts";
import type { Grouping } from "./segment.ts";
import { ARRIVING_TOKENS, type State } from "./state.ts";

/** How much fell on the block with this number on arrival. */
export type Recalled = (arrival: number) => number;

/** An archive after blocks have left it. */
export interface Room {
	/** Its first entry. */
	readonly start: number;
	/** Numbers on arrival of its blocks, from `start` on. */
	readonly arrivals: readonly number[];
	/** Blocks that change places. */
	readonly moves: readonly Transfer[];
}

/** Of a full archive an eighth leaves at a time, so that chunks need not end at each block; less when it is large. */
const SHARE = 8;

/** Index of the archive whose least recalled blocks leave first; below 0 for none. */
export function choosingArchive(policy: Policy): number {
	return policy.findIndex(({ eviction }) => eviction === "least-recalled");
}

/** Room in segment k, if it holds more than it keeps. */
export function makeRoom(policy: Policy, k: number, state: State, recalled: Recalled): Room {
	const { start, end } = state.segments[k] ?? { start: 0, end: 0 };
	const { takes, slots = 0 } = policy[k] ?? {};
	const { arrivals } = state;
	if (k < 0 || end - start <= slots) return { start, arrivals, moves: [] };
	const { entries: size } = takes as Grouping;
	const atOnce = Math.min(Math.floor(ARRIVING_TOKENS / size), Math.floor(slots / size / SHARE));
	const count = Math.max((end - start - slots) / size, atOnce);
	const leaving = new Set(leastRecalled(arrivals, { kept: slots / size, recalled }).slice(0, count));
	const staying = arrivals.slice(0, count).filter((arrival) => !leaving.has(arrival));
	const left = arrivals.slice(count);
	const block = (place: number) => ({ start: start + place * size, end: start + (place + 1) * size });
	const moves: Transfer[] = [];
	for (const [place, arrival] of left.entries()) {
		const mover = staying[moves.length];
		if (mover === undefined) break;
		if (!leaving.has(arrival)) continue;
		left[place] = mover;
		moves.push({ from: k, entries: block(arrivals.indexOf(mover)), to: k, into: block(count + place) });
	}
	return { start: start + count * size, arrivals: left, moves };
}

/**
 * Blocks in the order in which they leave an archive that keeps so many: the least recalled first, of equals the one that
 * came first. The newest, half as many as are kept, come last: before long nobody can have recalled them.
 *
 * @param arrivals Numbers on arrival, in any order.
 */
export function leastRecalled(
	arrivals: readonly number[],
	{ kept, recalled }: { readonly kept: number; readonly recalled: Recalled },
): number[] {
	const newest = new Set([...arrivals].sort((a, b) => b - a).slice(0, Math.floor(kept / 2)));
	const order = arrivals.map((arrival) => ({
		arrival,
		fell: recalled(arrival),
		isNew: Number(newest.has(arrival)),
	}));
	const bad = order.find(({ fell }) => !Number.isFinite(fell));
	if (bad !== undefined)
		fail(
			`recalled: expected a number for block ${bad.arrival}, got ${bad.fell}. Give 0 where nothing is known.`,
		);
	return order
		.sort((a, b) => a.isNew - b.isNew || a.fell - b.fell || a.arrival - b.arrival)
		.map(({ arrival }) => arrival);
}
