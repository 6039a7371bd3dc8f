/**
 * The additive attention masks of a plan: 0 where a query sees a key, `MASKED` where it does not.
 *
 * Rows are filled by runs: what a query sees of a segment is one range of entries, at most two runs of slots.
 */
import { fail, integer } from "./errors.ts";
import type { Plan, SegmentView } from "./plan.ts";

/**
 * Added to the score of a key that is not visible. Finite, because WGSL lets an implementation assume that there
 * are no infinities; large enough that its exponential is exactly 0 beside any score, and every query has at
 * least one visible key: its own.
 */
export const MASKED = -1e30;

export interface MaskOptions {
	/**
	 * A layer's own sliding window (Mistral, Gemma): a key is visible only when the query's position less the key's
	 * is below it. An integer ≥ 1. Defaults to none.
	 */
	readonly window?: number;
	/**
	 * Of `segmentMask`: slots of a row of `out`: enough for the entries that are cached, or as many as the view has. Those
	 * beyond the view's are masked. Defaults to the view's.
	 */
	readonly slots?: number;
	/**
	 * Of `segmentMask`: slots that share one column, where a segment's entries come and go in blocks. It divides the
	 * slots. Defaults to 1.
	 */
	readonly block?: number;
}

/**
 * Fills the mask between a chunk's queries and one segment's slots.
 *
 * @param out [read, options.slots / options.block] float32, overwritten; throws when its length differs.
 */
export function segmentMask(view: SegmentView, out: Float32Array, options?: MaskOptions): void {
	const { origin, visibleFrom, visibleTo, queryPositions } = view;
	const read = visibleFrom.length;
	const window = windowOf(options);
	const wanted = options?.slots ?? view.slots;
	// Until a segment has all of its slots entry e lies in slot e.
	const least = Math.min(view.cached.end, view.slots);
	integer("slots", wanted, least, Number.MAX_SAFE_INTEGER, "A row holds at least what is cached.");
	const block = options?.block ?? 1;
	integer("block", block, 1, Number.MAX_SAFE_INTEGER, "Leave it out for a column per slot.");
	const [slots, columns] = [view.slots / block, wanted / block];
	if (!Number.isInteger(slots) || !Number.isInteger(columns))
		fail(
			`block: expected a divisor of ${view.slots} and ${wanted} slots, got ${block}. Use the segment's own.`,
		);
	checkLength("segmentMask", out, read, columns);
	out.fill(MASKED);
	for (let i = 0; i < read; i++) {
		const nearest = (queryPositions[i] as number) - origin - window + 1;
		const from = Math.floor(Math.max(visibleFrom[i] as number, nearest) / block);
		const end = Math.floor((visibleTo[i] as number) / block);
		if (from >= end) continue;
		const row = i * columns;
		const first = from % slots;
		const beyond = first + end - from - slots;
		out.fill(0, row + first, row + slots + Math.min(beyond, 0));
		if (beyond > 0) out.fill(0, row, row + beyond);
	}
}

/**
 * Fills the mask among a chunk's own tokens.
 *
 * @param out [read, read] float32, queries × keys, overwritten; throws when its length differs.
 */
export function freshMask(plan: Plan, out: Float32Array, options?: MaskOptions): void {
	const { read } = plan;
	const { pinned, visibleFrom } = plan.fresh;
	const window = windowOf(options);
	checkLength("freshMask", out, read, read);
	out.fill(MASKED);
	for (let i = 0; i < read; i++) {
		const row = i * read;
		const nearest = Math.max(0, i - window + 1);
		out.fill(0, row + nearest, row + Math.min(pinned, i + 1));
		const from = Math.max(nearest, visibleFrom[i] as number);
		if (from <= i) out.fill(0, row + from, row + i + 1);
	}
}

function windowOf(options: MaskOptions | undefined): number {
	const window = options?.window;
	if (window === undefined) return Number.POSITIVE_INFINITY;
	return integer("window", window, 1, Number.MAX_SAFE_INTEGER, "Leave it out for a layer without one.");
}

function checkLength(name: string, out: Float32Array, read: number, keys: number): void {
	if (out.length !== read * keys) {
		fail(
			`${name}: expected room for [${read}, ${keys}] = ${read * keys} values, got ${out.length}. ` +
				"Pass a subarray of that length.",
		);
	}
}
