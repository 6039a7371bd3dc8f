/**
 * Plans a chunk for a policy of segments, by playing its tokens one at a time on integers: each query is recorded
 * as it would see the cache had its token come alone, so reading in chunks equals reading token by token.
 *
 * In-cache positions are those of StreamingLLM (arXiv 2309.17453 §3.2), by rotating the query instead of the keys:
 * the retained entries count 0, 1, 2, … and the query p; a key rotated at `origin + e` is then met by a query
 * rotated at p − (entries before the segment) + origin + start.
 */
import { choosingArchive, makeRoom } from "./eviction.ts";
import type { FreshView, Plan, SegmentView, Transfer, Write } from "./plan.ts";
import type { Policy } from "./policy.ts";
import type { Segment } from "./segment.ts";
import {
	arrivalsOf,
	bufferSlots,
	groupingBefore,
	mostSlots,
	originOf,
	type SegmentState,
	type State,
} from "./state.ts";

/** "in-cache": kept entries count 0, 1, 2, …, the query next. "original": every token keeps its stream index. */
export type Positions = "in-cache" | "original";

/** A plan and the state that it leads to. */
export interface Planned {
	readonly plan: Plan;
	readonly next: State;
}

/** A segment while a chunk is played: what it holds, and what queries have seen. */
interface Track {
	readonly segment: Segment;
	readonly origin: number;
	readonly before: SegmentState;
	/** First entry that the chunk's first query sees: of an archive that makes room, after that. */
	readonly first: number;
	start: number;
	end: number;
	readonly visibleFrom: Float64Array;
	readonly visibleTo: Float64Array;
	readonly queryPositions: Float64Array;
}

export function planCascade(policy: Policy, positions: Positions, state: State, count: number): Planned {
	const archive = choosingArchive(policy);
	const room = makeRoom(policy, archive, state);
	const tracks: Track[] = policy.map((segment, k) => {
		const before = state.segments[k] as SegmentState;
		const first = k === archive ? room.start : before.start;
		return {
			segment,
			origin: originOf(policy, k),
			before,
			first,
			start: first,
			end: before.end,
			visibleFrom: new Float64Array(count),
			visibleTo: new Float64Array(count),
			queryPositions: new Float64Array(count),
		};
	});
	const tail = tracks.at(-1) as Track;
	const transfers: Transfer[] = [];
	let take = 0;
	while (take < count && !isOver(tracks[archive]) && look(tracks, positions, state.length + take, take)) {
		const before = tracks.map(({ start, end }) => ({ start, end }));
		const done = transfers.length;
		offer(tracks);
		settle(policy, tracks, policy.length - 1, state.turns, transfers);
		if (!inTime(policy, tracks)) {
			// The chunk ends before this token.
			for (const [k, track] of tracks.entries()) Object.assign(track, before[k]);
			transfers.length = done;
			break;
		}
		take++;
	}

	const segments = tracks.map((track, k) => ({
		start: track.start,
		end: track.end,
		slots: bufferSlots(policy, k, track.end, track.before.slots),
	}));
	const fresh = freshView(tracks, state.length, take);
	const { before, end } = tracks[archive] ?? tail;
	const arrivals = archive < 0 ? [] : [...room.arrivals, ...arrivalsOf(policy, before.end, end)];
	const plan = {
		start: state.length,
		take,
		read: take,
		segments: tracks.map((track, k) => ({
			...viewOf(track, k, segments[k] as SegmentState, take),
			...(k === archive && { arrivals }),
		})),
		fresh,
		writes: writesOf(tracks, segments, fresh.pinned),
		transfers,
	};
	const turns = tail.start > tail.before.start ? state.turns.filter((e) => e > tail.start) : state.turns;
	return { plan, next: { ...state, length: state.length + take, segments, turns, arrivals } };
}

/**
 * Records what the query of token t, row i, sees. False when the chunk has to end before it: fresh keys are met in
 * the tail's frame, where the query stands at t, so a fresh sink has to be met at t as well.
 */
function look(tracks: readonly Track[], positions: Positions, t: number, i: number): boolean {
	const edge = tracks.at(-1)?.segment.slots ?? 0;
	let numbered = 0;
	for (const { segment, start, end } of tracks) {
		if (segment.distance === undefined) numbered += end - start;
	}
	let earlier = 0;
	for (const track of tracks) {
		const { segment, origin, start, end } = track;
		const inStream = segment.takes === "rest" || (segment.takes === "tokens" && positions === "original");
		const apart = segment.distance === "edge" ? edge : segment.distance;
		const position = inStream ? t : (apart ?? numbered - earlier + origin + start);
		const taken = typeof segment.takes === "object";
		if (!taken && end > track.before.end && position !== t) return false;
		if (apart === undefined) earlier += end - start;
		track.visibleFrom[i] = start;
		track.visibleTo[i] = taken ? end : Math.min(end, track.before.end);
		track.queryPositions[i] = position;
	}
	return true;
}

/** Whether blocks have to leave an archive by choice before another query sees it, which the next plan begins with. */
function isOver(track: Track | undefined): boolean {
	return track !== undefined && track.end - track.start > track.segment.slots;
}

/**
 * Whether the transfers can be done before the chunk runs: what leaves was there before it, and what it becomes lies
 * beside all that the chunk's first query sees.
 */
function inTime(policy: Policy, tracks: readonly Track[]): boolean {
	return tracks.every(({ segment, before, start, end }, k) => {
		if (typeof segment.takes === "object") return end - before.start <= mostSlots(policy, k);
		return groupingBefore(policy, k) === undefined || start <= before.end;
	});
}

/** Gives one token to the first segment that takes it. */
function offer(tracks: readonly Track[]): void {
	for (const track of tracks) {
		const { takes, slots } = track.segment;
		if (takes === "rest" || (takes === "tokens" && track.end < slots)) {
			track.end++;
			return;
		}
	}
}

/** Lets segment k drop what it no longer keeps: to the segment before it, if that takes drops, else for ever. */
function settle(
	policy: Policy,
	tracks: readonly Track[],
	k: number,
	turns: readonly number[],
	transfers: Transfer[],
): void {
	const track = tracks[k] as Track;
	if (track.segment.eviction === "least-recalled") return;
	const head = track.segment.head(track.start, track.end, turns);
	if (head <= track.start) return;
	const grouping = groupingBefore(policy, k);
	if (grouping === undefined) {
		track.start = head;
		return;
	}
	const groups = Math.floor((head - track.start) / grouping.group);
	if (groups === 0) return;
	const entries = { start: track.start, end: track.start + groups * grouping.group };
	const target = tracks[k - 1] as Track;
	const into = { start: target.end, end: target.end + groups * grouping.entries };
	transfers.push({ from: k, entries, to: k - 1, into });
	track.start = entries.end;
	target.end = into.end;
	settle(policy, tracks, k - 1, [], transfers);
}

function viewOf(track: Track, segment: number, { slots }: SegmentState, take: number): SegmentView {
	const taken = typeof track.segment.takes === "object";
	return {
		segment,
		slots,
		cached: { start: track.first, end: taken ? track.end : track.before.end },
		origin: track.origin,
		visibleFrom: trim(track.visibleFrom, take),
		visibleTo: trim(track.visibleTo, take),
		queryPositions: trim(track.queryPositions, take),
	};
}

/** Rows go to the sinks first; row pinned + j is the tail's entry before.end + j. */
function freshView(tracks: readonly Track[], length: number, take: number): FreshView {
	const tail = tracks.at(-1) as Track;
	const pinned = take - (tail.end - tail.before.end);
	const positions = new Float64Array(take);
	const visibleFrom = new Float64Array(take);
	for (let i = 0; i < take; i++) {
		positions[i] = length + i;
		visibleFrom[i] = pinned + Math.max(0, (tail.visibleFrom[i] as number) - tail.before.end);
	}
	return { positions, pinned, visibleFrom };
}

/** Moves the fresh rows that stay into their slots: what sinks took, and what the tail retains. */
function writesOf(tracks: readonly Track[], segments: readonly SegmentState[], pinned: number): Write[] {
	const writes: Write[] = [];
	let row = 0;
	for (let k = 0; k < tracks.length - 1; k++) {
		const { segment, before, end } = tracks[k] as Track;
		const length = end - before.end;
		if (segment.takes !== "tokens" || length === 0) continue;
		writes.push({ segment: k, row, slot: before.end, length });
		row += length;
	}
	const { before, start, end } = tracks.at(-1) as Track;
	const { slots } = segments.at(-1) as SegmentState;
	for (let entry = Math.max(before.end, start); entry < end; ) {
		const slot = entry % slots;
		const length = Math.min(end - entry, slots - slot);
		writes.push({ segment: tracks.length - 1, row: pinned + entry - before.end, slot, length });
		entry += length;
	}
	return writes;
}

const trim = (values: Float64Array, length: number): Float64Array =>
	values.length === length ? values : values.slice(0, length);
