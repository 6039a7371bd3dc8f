/**
 * Plans a chunk for `recompute(window)`: nothing is stored; the scored tokens and the `window` tokens before the
 * first of them are read afresh, causally. The state's one range holds the tokens that a caller must still have.
 *
 * Several tokens are scored by one reading only while that reading begins where each of them would have begun it;
 * what a token's hidden state contains depends on where the reading began.
 */
import type { Planned, Positions } from "./cascade.ts";
import type { Segment } from "./segment.ts";
import type { SegmentState, State } from "./state.ts";

export function planRecompute(
	segment: Segment,
	positions: Positions,
	state: State,
	count: number,
	scored: "all" | "last",
): Planned {
	const { length } = state;
	const { start } = state.segments[0] as SegmentState;
	const window = segment.slots;
	const take = scored === "last" ? count : Math.min(count, start + window + 1 - length);
	const end = length + take;
	const from = Math.max(start, end - 1 - window);
	const read = end - from;
	const first = positions === "original" ? from : 0;
	const plan = {
		start: length,
		take,
		read,
		segments: [],
		fresh: {
			positions: Float64Array.from({ length: read }, (_, i) => first + i),
			pinned: 0,
			visibleFrom: new Float64Array(read),
		},
		writes: [],
		transfers: [],
	};
	const kept = { start: Math.max(start, end - window), end, slots: 0 };
	return { plan, next: { ...state, length: end, segments: [kept], turns: [] } };
}
