/**
 * The segments: attention sinks, a rolling window, dense attention, and recomputation as the baseline.
 *
 * Sinks and window are StreamingLLM's (Xiao et al., arXiv 2309.17453 §3.2): the first and the last tokens stay.
 * Recomputation is the sliding window with re-computation that the paper takes for its oracle.
 */
import { fail, integer } from "./errors.ts";
import { mostSlotsOfTensor as mostSlots, type Segment } from "./segment.ts";

export interface RollingOptions {
	/** On overflow drop the oldest whole chat turn instead of one token. Defaults to false. */
	readonly turns?: boolean;
}

/**
 * Keeps the first `count` tokens that reach it, for ever. Four are enough for models that were trained without a
 * sink token; a prompt of k tokens is pinned by `sink(k)`.
 *
 * @param count tokens, an integer ≥ 1. Throws otherwise: leave the sink out for none.
 */
export function sink(count: number): Segment {
	integer("sink", count, 1, mostSlots, "For a policy without sinks leave the segment out.");
	return {
		kind: "sink",
		takes: "tokens",
		slots: count,
		describe: () => `sink:${count}`,
		head: () => 0,
	};
}

/**
 * Keeps the last `slots` tokens.
 *
 * With `turns`, overflow drops the oldest whole chat turn (see `KvCache.beginTurn`); when the only turn left is the
 * unfinished one, it slides token by token.
 *
 * @param slots tokens kept between steps, an integer ≥ 1. Throws otherwise.
 */
export function rolling(slots: number, { turns = false }: RollingOptions = {}): Segment {
	integer("rolling", slots, 1, mostSlots, "Give the window's length in tokens.");
	if (typeof turns !== "boolean") {
		fail(`rolling: expected turns to be true or false, got ${String(turns)}.`);
	}
	return {
		kind: "rolling",
		takes: "rest",
		slots,
		turns,
		describe: () => `rolling:${slots}${turns ? ":turns" : ""}`,
		head: (start, end, starts) => {
			const oldest = end - slots;
			if (oldest <= start) return start;
			return starts.find((entry) => entry >= oldest) ?? oldest;
		},
	};
}

/** Keeps every token: ordinary attention, whose memory grows with the stream (K4 of SPEC.md). */
export function dense(): Segment {
	return {
		kind: "dense",
		takes: "rest",
		slots: Number.POSITIVE_INFINITY,
		describe: () => "dense",
		head: () => 0,
	};
}

/**
 * Stores nothing: for every token the `window` tokens before it are read afresh. Slow and exact, the yardstick for
 * the policies that keep their keys and values.
 *
 * @param window tokens before the scored one, an integer ≥ 1. Throws otherwise.
 */
export function recompute(window: number): Segment {
	integer("recompute", window, 1, mostSlots, "Give the number of tokens to read again.");
	return {
		kind: "recompute",
		takes: "rest",
		slots: window,
		describe: () => `recompute:${window}`,
		head: (_start, end) => end - window,
	};
}
