/**
 * The state of a cache: one range of entries per segment. Immutable, so that a plan can say from which state it
 * leads to which. Also what follows from the ranges alone: counters, buffer sizes, rewinding, turns.
 */
import type { Range } from "./plan.ts";
import type { Policy } from "./policy.ts";
import type { Grouping, Segment } from "./segment.ts";

export interface SegmentState extends Range {
	/** Slots of its buffers; 0 when it has none. Never shrinks. */
	readonly slots: number;
}

export interface State {
	/** Tokens of the stream so far. */
	readonly length: number;
	readonly segments: readonly SegmentState[];
	/** Entries of the tail at which a chat turn begins, ascending, in (start, end]; `end` is the next token. */
	readonly turns: readonly number[];
}

export function initialState(policy: Policy): State {
	const segments = policy.map((_, k) => ({ start: 0, end: 0, slots: bufferSlots(policy, k, 0, 0) }));
	return { length: 0, segments, turns: [] };
}

/** How the segment before segment k takes what k drops; undefined when drops are lost. */
export function groupingBefore(policy: Policy, k: number): Grouping | undefined {
	const takes = policy[k - 1]?.takes;
	return typeof takes === "object" ? takes : undefined;
}

/** Stream index of entry 0 of segment k. Segments that take drops number theirs from where the sinks end. */
export function originOf(policy: Policy, k: number): number {
	return policy
		.slice(0, k)
		.reduce((sum, segment) => (segment.takes === "tokens" ? sum + segment.slots : sum), 0);
}

/** Slots of a tail's buffers at first; they double until they hold what the tail keeps. */
const FIRST_SLOTS = 256;

/**
 * Slots that segment k needs to hold entries up to `end`, given `slots` now. A tail's buffers grow as it fills: until
 * then entry e lies in slot e whatever their size, and attention over a short stream costs no full window. A segment
 * whose drops are taken needs room beyond what it keeps: a dropped group is read from its slots after the newest
 * entries are written.
 */
export function bufferSlots(policy: Policy, k: number, end: number, slots: number): number {
	const segment = policy[k] as Segment;
	if (segment.kind === "recompute") return 0;
	const grouping = groupingBefore(policy, k);
	if (grouping === undefined) {
		if (segment.takes !== "rest") return segment.slots;
		let size = Math.max(slots, FIRST_SLOTS);
		while (size < end) size *= 2;
		return Math.min(size, segment.slots);
	}
	const arriving = typeof segment.takes === "object" ? segment.takes.entries : 1;
	return segment.slots + grouping.group - 1 + arriving;
}

export function retained(state: State): number {
	return state.segments.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Tokens of which no entry is left. An entry that a group was merged into stands for all of the group's tokens. */
export function evicted(policy: Policy, state: State): number {
	let tokens = 1;
	return state.segments.reduceRight((left, { start, end }, k) => {
		const takes = policy[k]?.takes;
		if (typeof takes === "object") tokens *= takes.group / takes.entries;
		return left - (end - start) * (takes === "tokens" ? 1 : tokens);
	}, state.length);
}

export function rewindable(state: State): number {
	const { start, end } = state.segments.at(-1) as SegmentState;
	return start > 0 ? end - start : state.length;
}

/** The state without the last `count` tokens, at most `rewindable`. */
export function rewound(policy: Policy, state: State, count: number): State {
	let left = count;
	const segments = state.segments.map((segment) => ({ ...segment }));
	for (let k = segments.length - 1; k >= 0; k--) {
		const segment = segments[k] as { start: number; end: number };
		if (typeof policy[k]?.takes === "object") continue;
		const lost = Math.min(left, segment.end - segment.start);
		segment.end -= lost;
		left -= lost;
	}
	const end = segments.at(-1)?.end ?? 0;
	return { length: state.length - count, segments, turns: state.turns.filter((entry) => entry < end) };
}

/** The state in which the next token begins a turn. The same state where that can make no difference. */
export function turned(policy: Policy, state: State): State {
	const k = policy.length - 1;
	const entry = state.length - originOf(policy, k);
	const { start } = state.segments[k] as SegmentState;
	if (policy[k]?.turns !== true || entry <= start || state.turns.at(-1) === entry) return state;
	return { ...state, turns: [...state.turns, entry] };
}
