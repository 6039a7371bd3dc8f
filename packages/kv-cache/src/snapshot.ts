/**
 * A cache as plain JSON, and back. Nothing in a snapshot is believed: its counters must be ones that the policy can
 * reach, since a plan made from others would point at slots that hold something else.
 */
import type { Positions } from "./cascade.ts";
import { fail } from "./errors.ts";
import { formatPolicy, type Policy } from "./policy.ts";
import type { Segment } from "./segment.ts";
import {
	archiveIn,
	arrivalsOf,
	bufferSlots,
	groupingBefore,
	mostSlots,
	type SegmentState,
	type State,
} from "./state.ts";

export interface CacheSnapshot {
	readonly version: 1;
	/** `formatPolicy` of the cache's policy. */
	readonly policy: string;
	readonly positions: Positions;
	/** Tokens of the stream. */
	readonly length: number;
	/** Entries with which the archive began. Defaults to 0. */
	readonly attached?: number;
	/** Per segment: the entries [start, end) that it retains, and the slots of its buffers. */
	readonly segments: readonly { readonly start: number; readonly end: number; readonly slots: number }[];
	/** Entries of the last segment at which a chat turn begins. */
	readonly turns: readonly number[];
	/** Of an archive that the least recalled blocks leave: per block, its number on arrival. Defaults to none. */
	readonly arrivals?: readonly number[];
}

export function writeSnapshot(policy: Policy, positions: Positions, state: State): CacheSnapshot {
	return {
		version: 1,
		policy: formatPolicy(policy),
		positions,
		length: state.length,
		...(state.attached > 0 && { attached: state.attached }),
		segments: state.segments.map(({ start, end, slots }) => ({ start, end, slots })),
		turns: [...state.turns],
		...(state.arrivals.length > 0 && { arrivals: [...state.arrivals] }),
	};
}

/** Throws when the snapshot is of another policy, malformed, or impossible under this policy. */
export function readSnapshot(
	policy: Policy,
	snapshot: CacheSnapshot,
): { positions: Positions; state: State } {
	if (snapshot?.version !== 1) {
		fail(
			`snapshot: expected version 1, got ${String(snapshot?.version)}. It is not of this program's making.`,
		);
	}
	const { positions, length, attached = 0, segments, turns, arrivals = [] } = snapshot;
	const text = formatPolicy(policy);
	if (snapshot.policy !== text) {
		fail(`snapshot: expected policy "${text}", got "${snapshot.policy}". Restore it with its own policy.`);
	}
	checkPositions(positions);
	const state = {
		length,
		attached,
		segments: Array.isArray(segments)
			? segments.map((s) => ({ start: s?.start, end: s?.end, slots: s?.slots }))
			: [],
		turns: Array.isArray(turns) ? [...turns] : [-1],
		arrivals: Array.isArray(arrivals) ? [...arrivals] : [-1],
	};
	const problem = findProblem(policy, state);
	if (problem !== undefined) {
		fail(`snapshot: ${problem}. It is damaged or was altered; start a new cache.`);
	}
	return { positions, state };
}

export function checkPositions(positions: Positions): void {
	if (positions !== "in-cache" && positions !== "original") {
		fail(`positions: expected "in-cache" or "original", got "${String(positions)}".`);
	}
}

/** What is wrong with a state: "expected …, got …". */
function findProblem(policy: Policy, state: State): string | undefined {
	const { length, segments, turns } = state;
	if (segments.length !== policy.length) {
		return `expected ${policy.length} segments, got ${segments.length}`;
	}
	const problem = findAttachedProblem(policy, state);
	if (problem !== undefined) return problem;
	for (const [k, segment] of policy.entries()) {
		const problem = findSegmentProblem(policy, state, k);
		if (problem !== undefined) return `segment ${segment.describe()}: ${problem}`;
	}
	const places = findArrivalsProblem(policy, state);
	if (places !== undefined) return places;
	const tail = segments.at(-1) as SegmentState;
	let tokens = 0;
	let open: Segment | undefined;
	for (const [k, segment] of policy.entries()) {
		const { end } = segments[k] as SegmentState;
		if (typeof segment.takes === "object") continue;
		if (open !== undefined && end > 0) return `expected ${open.describe()} to be full before what follows it`;
		if (segment.takes === "tokens" && end < segment.slots) open = segment;
		tokens += end;
	}
	if (tokens !== length) return `expected the segments to account for ${length} tokens, got ${tokens}`;
	const aware = policy.at(-1)?.turns === true;
	const ordered = turns.every(
		(entry, i) => Number.isSafeInteger(entry) && entry > (turns[i - 1] ?? tail.start) && entry <= tail.end,
	);
	if (!ordered || (turns.length > 0 && !aware)) {
		return `expected turn starts to ascend within the last segment's entries, got [${turns.join()}]`;
	}
	return undefined;
}

/** Blocks come one after the other, and only change places. */
function findArrivalsProblem(policy: Policy, { arrivals, segments }: State): string | undefined {
	const { start, end } = segments[archiveIn(policy)] ?? { start: 0, end: 0 };
	const places = arrivalsOf(policy, start, end);
	const distinct = new Set(arrivals).size === arrivals.length;
	const possible = [...arrivals]
		.sort((a, b) => a - b)
		.every((n, i) => Number.isSafeInteger(n) && n >= 0 && n <= (places[i] ?? -1));
	if (places.length === arrivals.length && distinct && possible) return undefined;
	return `expected the numbers on arrival of ${places.length} blocks that have come, got [${arrivals.join()}]`;
}

function findAttachedProblem(policy: Policy, { attached, segments }: State): string | undefined {
	if (attached === 0) return undefined;
	const archive = archiveIn(policy);
	const { takes, slots } = policy[archive] ?? {};
	if (slots === undefined || typeof takes !== "object")
		return `expected no archive to begin with, got ${attached} entries`;
	const most = Math.min(slots, segments[archive]?.end ?? 0);
	const whole = Number.isSafeInteger(attached) && attached > 0 && attached % takes.entries === 0;
	if (whole && attached <= most) return undefined;
	return `expected an archive that began with whole blocks of ${takes.entries}, at most ${most} entries, got ${attached}`;
}

function findSegmentProblem(policy: Policy, { segments, attached }: State, k: number): string | undefined {
	const { takes, slots: most, eviction } = policy[k] as Segment;
	const { start, end, slots } = segments[k] as SegmentState;
	const got = `got [${start}, ${end})`;
	const counters = [start, end, slots].every((value) => Number.isSafeInteger(value) && value >= 0);
	if (!counters || start > end) return `expected entries counted by integers, ${got} in ${slots} slots`;
	const grouping = groupingBefore(policy, k);
	const over = eviction === "least-recalled" ? mostSlots(policy, k) - most : (grouping?.group ?? 1) - 1;
	if (end - start > most + over) return `expected at most ${most} entries, ${got}`;
	const drops = takes !== "tokens" && most !== Number.POSITIVE_INFINITY;
	if (start > 0 && !drops) return `expected entries from 0, as it drops none, ${got}`;
	const before = k - 1 === archiveIn(policy) ? attached : 0;
	if (
		grouping !== undefined &&
		segments[k - 1]?.end !== before + (start / grouping.group) * grouping.entries
	) {
		return `expected the segment before to have taken ${start} entries, ${got}`;
	}
	const needed = bufferSlots(policy, k, end, 0);
	// More when a rewind has taken back what they grew for.
	const reachable = slots >= needed && bufferSlots(policy, k, slots, 0) === slots;
	return reachable ? undefined : `expected ${needed} slots, got ${slots}`;
}
