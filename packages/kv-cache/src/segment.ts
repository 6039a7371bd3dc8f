/**
 * What a segment of a policy is: a few integers and one rule, no tensors and no state of its own.
 *
 * A cache keeps the state of every segment in the same form, one range of entries, so the cascade
 * (`cascade.ts`), snapshots and rewinding work for any segment that is written as such an object.
 */

/** Slots are dimensions of tensors, which runtimes hold in 32 bits. */
export const mostSlotsOfTensor: number = 2 ** 31 - 1;

/** How a segment takes what the segment after it drops: `group` entries become `entries` of its own. */
export interface Grouping {
	/** Entries taken at a time. The segment that drops holds them, visible, until the group is whole. */
	readonly group: number;
	/** Entries that a group becomes: `group` when they are kept as they are, fewer when they are merged. */
	readonly entries: number;
}

/**
 * The queries by which blocks of an archive are chosen: as they were before rotation, so that content alone counts, or
 * rotated to the distance at which they then attend to what was chosen.
 */
export type ChosenBy = "unrotated" | "rotated";

/** What leaves a full archive first. */
export type Eviction = "oldest" | "least-recalled";

export interface Segment {
	/** "sink", "compressive", "memory", "rolling", "dense", "recompute". */
	readonly kind: string;
	/**
	 * "tokens": takes tokens while it has room and never drops one. "rest": takes every other token; the last
	 * segment of a policy, its tail. A grouping: takes no tokens but what the segment after it drops.
	 */
	readonly takes: "tokens" | "rest" | Grouping;
	/** Most entries that it keeps between steps. Infinity: all. */
	readonly slots: number;
	/** It takes note of `beginTurn`. Defaults to false. */
	readonly turns?: boolean;
	/**
	 * Every query meets every entry at this one distance, the keys being kept un-rotated (position 0); "edge" is the
	 * window's edge, the slots of the policy's last segment. Its entries are then not numbered among the in-cache
	 * positions. Defaults to rotated keys, numbered in order.
	 */
	readonly distance?: number | "edge";
	/** A query sees only this many blocks of it, of `takes.group` entries each: those that it recalls. Defaults to all. */
	readonly recall?: number;
	/** Tokens for which a choice of blocks holds, made by the first of them. Defaults to 1: each chooses for itself. */
	readonly every?: number;
	/** The queries that choose. Defaults to "unrotated". */
	readonly chosenBy?: ChosenBy;
	/**
	 * Which groups leave when it is full. Defaults to "oldest". With "least-recalled" those of which the caller says that
	 * they are recalled least (`KvCache.exchanges`), several at a time.
	 */
	readonly eviction?: Eviction;
	/** What makes one entry of a group, by name. Defaults to keeping entries as they are. */
	readonly compressor?: string;
	/** The text that `parsePolicy` reads: "rolling:252". Equal segments have equal descriptions. */
	describe(): string;
	/**
	 * The first entry that is still kept when [start, end) are held. `turns` are the entries at which a chat turn
	 * begins, ascending, all greater than `start`. A result below `start` means `start`.
	 */
	head(start: number, end: number, turns: readonly number[]): number;
}
