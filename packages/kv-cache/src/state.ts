/**
 * The state of a cache: one range of entries per segment. Immutable, so that a plan can say from which state it
 * leads to which. Also what follows from the ranges alone: counters, buffer sizes, rewinding, turns.
 */
import { fail, integer } from "./errors.ts";
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
	/** Entries with which the archive began: its first ones, of no token of this stream. */
	readonly attached: number;
	readonly segments: readonly SegmentState[];
	/** Entries of the tail at which a chat turn begins, ascending, in (start, end]; `end` is the next token. */
	readonly turns: readonly number[];
	/**
	 * Per block of an archive that the least recalled leave, from its start on: its number on arrival, where it lay at
	 * first. Empty for other policies.
	 */
	readonly arrivals: readonly number[];
}

/** A stream of no tokens. Throws unless `attached` entries are whole blocks that the policy's archive holds. */
export function initialState(policy: Policy, attached: number): State {
	checkAttached(policy, attached);
	const archive = archiveIn(policy);
	const segments = policy.map((_, k) => {
		const end = k === archive ? attached : 0;
		return { start: 0, end, slots: bufferSlots(policy, k, end, 0) };
	});
	return { length: 0, attached, segments, turns: [], arrivals: arrivalsOf(policy, 0, attached) };
}

/** Numbers of the blocks that arrive as entries [start, end) of the archive, if its blocks may change places. */
export function arrivalsOf(policy: Policy, start: number, end: number): number[] {
	const { takes, eviction } = policy[archiveIn(policy)] ?? {};
	if (typeof takes !== "object" || eviction !== "least-recalled") return [];
	return Array.from({ length: (end - start) / takes.entries }, (_, i) => start / takes.entries + i);
}

/** Index of the segment of which blocks are recalled; below 0 for none. */
export function archiveIn(policy: Policy): number {
	return policy.findIndex(({ recall }) => recall !== undefined);
}

function checkAttached(policy: Policy, attached: number): void {
	const archive = policy[archiveIn(policy)];
	integer("archived", attached, 0, archive?.slots ?? 0, "Give the policy a memory that holds them.");
	const block = typeof archive?.takes === "object" ? archive.takes.entries : 1;
	if (attached % block !== 0)
		fail(`archived: expected whole blocks of ${block}, got ${attached}. Leave the incomplete one out.`);
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

/** Slots of a segment's buffers at first, and the fewest that they grow by. */
const LEAST_SLOTS = 128;
/** Tokens for whose drops a segment that takes them has room at a time, beyond what it keeps. */
export const ARRIVING_TOKENS = 128;

/**
 * Slots that segment k needs to hold entries up to `end`, given `slots` now. Buffers grow as a segment fills: until
 * they have their size entry e lies in slot e whatever it is, and attention over a short stream costs no full window.
 */
export function bufferSlots(policy: Policy, k: number, end: number, slots: number): number {
	const segment = policy[k] as Segment;
	if (segment.kind === "recompute") return 0;
	if (segment.takes === "tokens") return segment.slots;
	const unit = segment.takes === "rest" ? 1 : segment.takes.entries;
	const inUnits = (slots: number): number => Math.ceil(slots / unit) * unit;
	let size = Math.max(slots, inUnits(Math.max(LEAST_SLOTS, (segment.recall ?? 0) * unit)));
	while (size < end) size = inUnits(size + growth(size));
	return Math.min(size, mostSlots(policy, k));
}

/**
 * By how many slots buffers grow: an eighth of the largest power of two that is not above them. Attention takes time for
 * every slot, filled or not, and copying what is there takes time for every growth; so an entry is copied 8 times, or
 * fewer, while the slots double.
 */
function growth(slots: number): number {
	return Math.max(LEAST_SLOTS, 2 ** (Math.floor(Math.log2(slots)) - 3));
}

/**
 * Slots of segment k that is full. More than it keeps: an incomplete group stays with the segment that drops it, and
 * what a chunk's transfers add lies beside what the chunk's first query still sees.
 */
export function mostSlots(policy: Policy, k: number): number {
	const { takes, slots, eviction } = policy[k] as Segment;
	if (takes === "tokens") return slots;
	const held = slots + (groupingBefore(policy, k)?.group ?? 1) - 1;
	if (typeof takes !== "object") return held;
	// What leaves by choice still lies there beside what comes until the next plan, and the groups of two tokens may.
	const waiting = eviction === "least-recalled" ? 2 * takes.entries : 0;
	return Math.ceil((held + waiting + arriving(policy, k)) / takes.entries) * takes.entries;
}

/**
 * Slots of every segment's buffers once they are full, in the policy's order: what a session takes at the most. Infinity
 * for `dense`, none for `recompute`.
 */
export function fullSlots(policy: Policy): readonly number[] {
	return policy.flatMap(({ kind }, k) => (kind === "recompute" ? [] : [mostSlots(policy, k)]));
}

/** Entries that segment k drops, or takes when it takes drops, while `ARRIVING_TOKENS` come. */
function arriving(policy: Policy, k: number): number {
	const { takes, turns, slots } = policy[k] as Segment;
	// A whole turn, up to the window, leaves at once.
	if (typeof takes !== "object") return turns === true ? Math.max(slots, ARRIVING_TOKENS) : ARRIVING_TOKENS;
	return Math.ceil(arriving(policy, k + 1) / takes.group) * takes.entries;
}

export function retained(state: State): number {
	return state.segments.reduce((sum, { start, end }) => sum + end - start, 0);
}

/** Tokens of which no entry is left. An entry that a group was merged into stands for all of the group's tokens. */
export function evicted(policy: Policy, state: State): number {
	const archive = archiveIn(policy);
	let tokens = 1;
	return state.segments.reduceRight((left, { start, end }, k) => {
		const takes = policy[k]?.takes;
		if (typeof takes === "object") tokens *= takes.group / takes.entries;
		const came = k === archive ? state.attached : 0;
		return left - (end - start - came) * (takes === "tokens" ? 1 : tokens);
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
	const turns = state.turns.filter((entry) => entry < end);
	return { ...state, length: state.length - count, segments, turns };
}

/** The state in which the next token begins a turn. The same state where that can make no difference. */
export function turned(policy: Policy, state: State): State {
	const k = policy.length - 1;
	const entry = state.length - originOf(policy, k);
	const { start } = state.segments[k] as SegmentState;
	if (policy[k]?.turns !== true || entry <= start || state.turns.at(-1) === entry) return state;
	return { ...state, turns: [...state.turns, entry] };
}
