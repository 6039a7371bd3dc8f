/**
 * Room in an archive whose least recalled blocks leave first. What a segment holds stays one range of entries all the
 * same: the blocks that leave change places with the range's first ones, and the range begins after them. So a block is
 * known by its number on arrival, wherever it lies. All recalled entries stand at one distance (`Segment.distance`), so
 * nothing depends on their order, and to change places is no step of the stream: whatever comes of the run that follows,
 * each block lies where the cache says.
 */
import { fail } from "./errors.ts";
import type { Range } from "./plan.ts";
import type { Policy } from "./policy.ts";
import type { Grouping, Segment } from "./segment.ts";
import { ARRIVING_TOKENS, type State } from "./state.ts";

/** How much fell on the block with this number on arrival. */
export type Recalled = (arrival: number) => number;

/** Two blocks of an archive that take each other's places. */
export interface Exchange {
	/** Index of the archive in the policy. */
	readonly segment: number;
	/** Entries of the one that stays. */
	readonly entries: Range;
	/** Those of the one that leaves. */
	readonly others: Range;
}

/** An archive after blocks have left it. */
export interface Room {
	/** Its first entry. */
	readonly start: number;
	/** Numbers on arrival of its blocks, from `start` on. */
	readonly arrivals: readonly number[];
}

/** Of a full archive an eighth leaves at a time, so that chunks need not end at each block; less when it is large. */
const SHARE = 8;

/** Index of the archive whose least recalled blocks leave first; below 0 for none. */
export function choosingArchive(policy: Policy): number {
	return policy.findIndex(({ eviction }) => eviction === "least-recalled");
}

/** Room in segment k, if it holds more than it keeps: its first blocks leave. */
export function makeRoom(policy: Policy, k: number, state: State): Room {
	const { start } = state.segments[k] ?? { start: 0 };
	const count = leaving(policy, k, state);
	return { start: start + count * blockSize(policy, k), arrivals: state.arrivals.slice(count) };
}

/** What has to change places, so that the least recalled blocks of segment k are the first when some have to leave. */
export function exchangesOf(policy: Policy, k: number, state: State, recalled: Recalled): Exchange[] {
	const count = leaving(policy, k, state);
	if (count === 0) return [];
	const { arrivals } = state;
	const size = blockSize(policy, k);
	const { start } = state.segments[k] as Range;
	const kept = (policy[k] as Segment).slots / size;
	const least = new Set(leastRecalled(arrivals, { kept, recalled }).slice(0, count));
	const block = (place: number): Range => ({ start: start + place * size, end: start + (place + 1) * size });
	const behind = arrivals.slice(count).filter((arrival) => least.has(arrival));
	return arrivals.slice(0, count).flatMap((arrival, place) => {
		if (least.has(arrival)) return [];
		const other = arrivals.indexOf(behind.shift() as number);
		return { segment: k, entries: block(place), others: block(other) };
	});
}

/** The state in which two blocks have changed places. Throws unless the archive holds both. */
export function exchanged(policy: Policy, state: State, { segment, entries, others }: Exchange): State {
	const { arrivals, segments } = state;
	const place = ({ start }: Range): number =>
		(start - (segments[segment]?.start ?? 0)) / blockSize(policy, segment);
	const [a, b] = [place(entries), place(others)];
	const [first, second] = [arrivals[a], arrivals[b]];
	if (segment !== choosingArchive(policy) || first === undefined || second === undefined)
		fail(
			`exchange: expected what exchanges() gave, got entries ${entries.start} and ${others.start} of segment ${segment}. ` +
				"Ask again after each plan.",
		);
	return { ...state, arrivals: arrivals.with(a, second).with(b, first) };
}

/** Blocks that leave segment k before another query sees it. */
function leaving(policy: Policy, k: number, { segments }: State): number {
	if (k < 0) return 0;
	const { start, end } = segments[k] as Range;
	const { slots } = policy[k] as Segment;
	if (end - start <= slots) return 0;
	const size = blockSize(policy, k);
	const atOnce = Math.floor(Math.min(ARRIVING_TOKENS, slots / SHARE) / size);
	return Math.max((end - start - slots) / size, atOnce);
}

/** Entries of a block of segment k; 0 without such a segment. */
function blockSize(policy: Policy, k: number): number {
	return (policy[k]?.takes as Grouping | undefined)?.entries ?? 0;
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
