/**
 * What a policy says about one chunk of tokens: which cached entries each query sees, at which position
 * each query is rotated per segment, and which fresh entries are kept in which slot. Integers only.
 *
 * Entries of a segment are numbered 0, 1, 2, … in the order in which it received them; the entry e lives in
 * slot `e mod slots`. What a segment retains is always one range of entries, so a plan needs two numbers a query.
 */

/** A half-open range [start, end) of entry numbers. */
export interface Range {
	readonly start: number;
	readonly end: number;
}

/** One segment's cached entries as the queries of a chunk see them. */
export interface SegmentView {
	/** Index of the segment in the policy. */
	readonly segment: number;
	/**
	 * Slots that the segment's buffers must have for the plan's transfers and writes. Never shrinks. While the chunk
	 * runs, those that hold `cached` will do.
	 */
	readonly slots: number;
	/** Entries that lie in the buffers when the chunk runs: after the plan's transfers, before its writes. */
	readonly cached: Range;
	/**
	 * Of an archive whose blocks change places: per block from `cached.start` on, its number on arrival. Absent where
	 * block b came as block b.
	 */
	readonly arrivals?: readonly number[];
	/** Key position of entry 0; the entry e was rotated at `origin + e`. */
	readonly origin: number;
	/** [read] First cached entry that query i sees; it sees [visibleFrom[i], visibleTo[i]), nothing when not less. */
	readonly visibleFrom: Float64Array;
	/** [read] Differs from `cached.end` where transfers of this plan add entries that earlier queries do not see yet. */
	readonly visibleTo: Float64Array;
	/** [read] Position at which query i is rotated to meet the keys of this segment. */
	readonly queryPositions: Float64Array;
}

/** The chunk's own keys as its queries see them. */
export interface FreshView {
	/** [read] Position at which token i's key, and its query for fresh keys, are rotated. */
	readonly positions: Float64Array;
	/** Rows [0, pinned) go to a sink and stay visible to every later query. */
	readonly pinned: number;
	/** [read] First unpinned row that query i sees; it sees [visibleFrom[i], i] and the pinned rows up to i. */
	readonly visibleFrom: Float64Array;
}

/** A run of fresh rows that moves into consecutive slots of one segment. */
export interface Write {
	readonly segment: number;
	/** First fresh row. */
	readonly row: number;
	/** First slot. */
	readonly slot: number;
	readonly length: number;
}

/** Entries that leave one segment for another, in whole groups (see `Grouping`). */
export interface Transfer {
	/** Index of the segment that drops. */
	readonly from: number;
	/** What it drops. All of it lies in its slots before the chunk runs. */
	readonly entries: Range;
	/** Index of the segment that takes. */
	readonly to: number;
	/** What they become there. */
	readonly into: Range;
}

export interface Plan {
	/** Stream length before the chunk: the index of its first new token. */
	readonly start: number;
	/** New tokens that this plan consumes; at most what was asked for. Plan again for the rest. */
	readonly take: number;
	/**
	 * Tokens to feed: [start + take − read, start + take) of the stream. Equal to `take`, except for `recompute`,
	 * which reads tokens before `start` again and, when only the last token is scored, passes over others.
	 */
	readonly read: number;
	/** One view per segment, in the policy's order, also while it is empty. None for `recompute`. */
	readonly segments: readonly SegmentView[];
	readonly fresh: FreshView;
	/** Runs of rows; done after the chunk has run. */
	readonly writes: readonly Write[];
	/**
	 * Done before the chunk runs, in order. To do them again, or for a plan that is then thrown away, loses nothing.
	 * Empty unless the policy has segments that take drops.
	 */
	readonly transfers: readonly Transfer[];
}
