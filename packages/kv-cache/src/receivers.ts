/**
 * Segments that take what the window drops: merged (compressive), or whole and recalled (memory).
 *
 * Compressing old memories at a rate is the Compressive Transformer's (Rae et al., arXiv 1911.05507 §3.1). Recalling
 * blocks by the query's own scores is that of kNN memories (Memorizing Transformers, arXiv 2203.08913) on a model
 * that was not trained for it, as in InfLLM (arXiv 2402.04617): there too all recalled keys stand at one distance.
 */
import { fail, integer } from "./errors.ts";
import { type ChosenBy, type Eviction, mostSlotsOfTensor, type Segment } from "./segment.ts";

export interface CompressiveOptions {
	/** Entries that are merged into one, an integer ≥ 2. */
	readonly rate: number;
	/** Merged entries that are kept, an integer ≥ 1. */
	readonly slots: number;
	/** What merges them, by a name of letters, digits and "-": "mean", "max", "most-used", or one that the caller knows. Defaults to "mean". */
	readonly compressor?: string;
}

/**
 * Keeps the last `slots` merged entries, each made of `rate` that the next segment dropped: `slots` · `rate` tokens
 * more in sight for `slots` entries. They are numbered among the in-cache positions.
 *
 * Throws on numbers out of range and on names that are none.
 */
export function compressive({ rate, slots, compressor = "mean" }: CompressiveOptions): Segment {
	integer("compressive rate", rate, 2, mostSlotsOfTensor, "Give the entries that become one.");
	integer("compressive slots", slots, 1, mostSlotsOfTensor, "Give the merged entries to keep.");
	if (!/^[a-z][a-z0-9-]*$/.test(compressor))
		fail(
			`compressor: expected a name of letters, digits and "-", got "${compressor}". Use "mean", "max" or "most-used".`,
		);
	return {
		kind: "compressive",
		takes: { group: rate, entries: 1 },
		slots,
		compressor,
		describe: () => `compressive:${slots}/${rate}/${compressor}`,
		head: (_start, end) => end - slots,
	};
}

export interface MemoryOptions {
	/** Tokens that are kept at the most, a multiple of the block size. */
	readonly capacity: number;
	/** Tokens that are archived, recalled and dropped together, an integer ≥ 1. Defaults to 16. */
	readonly blockSize?: number;
	/** Blocks that a query recalls, an integer ≥ 1, at most all. Defaults to 8. */
	readonly recall?: number;
	/**
	 * Tokens for which a choice of blocks holds, an integer ≥ 1: the first of them chooses, the others see the same blocks,
	 * and spend nothing on scoring the archive. Defaults to 1.
	 */
	readonly every?: number;
	/**
	 * The queries by which blocks are chosen: un-rotated, or rotated to the window's edge, where they then attend to the
	 * blocks. Defaults to "unrotated".
	 */
	readonly chosenBy?: ChosenBy;
	/**
	 * Which blocks leave when it is full: the oldest, or those that have been recalled least. Defaults to "oldest".
	 */
	readonly eviction?: Eviction;
}

/**
 * An archive of what the next segment dropped. A query sees `recall` blocks of it, chosen by its own scores in every
 * layer and key/value head, at the window's edge: one distance for all of them, whatever their age.
 *
 * Throws on numbers out of range.
 */
export function memory({
	capacity,
	blockSize = 16,
	recall = 8,
	every = 1,
	chosenBy = "unrotated",
	eviction = "oldest",
}: MemoryOptions): Segment {
	integer("memory block size", blockSize, 1, mostSlotsOfTensor, "Give the tokens of a block.");
	integer(
		"memory capacity",
		capacity,
		blockSize,
		mostSlotsOfTensor,
		"Give the tokens to keep, at least a block.",
	);
	if (capacity % blockSize !== 0)
		fail(
			`memory capacity: expected a multiple of the block size ${blockSize}, got ${capacity}. ` +
				`Use ${Math.ceil(capacity / blockSize) * blockSize}.`,
		);
	integer(
		"memory recall",
		recall,
		1,
		capacity / blockSize,
		"Give the blocks to recall, at most all of them.",
	);
	integer("memory every", every, 1, mostSlotsOfTensor, "Give the tokens for which a choice holds.");
	if (chosenBy !== "unrotated" && chosenBy !== "rotated")
		fail(`memory chosen by: expected "unrotated" or "rotated", got "${String(chosenBy)}".`);
	const rotated = chosenBy === "rotated";
	if (eviction !== "oldest" && eviction !== "least-recalled")
		fail(`memory eviction: expected "oldest" or "least-recalled", got "${String(eviction)}".`);
	const chosen = eviction === "least-recalled";
	return {
		kind: "memory",
		takes: { group: blockSize, entries: blockSize },
		slots: capacity,
		distance: "edge",
		recall,
		...(every > 1 && { every }),
		...(rotated && { chosenBy }),
		...(chosen && { eviction }),
		describe: () =>
			`memory:${capacity}/${recall}x${blockSize}${every > 1 ? `/${every}` : ""}` +
			`${rotated ? ":rotated" : ""}${chosen ? ":least-recalled" : ""}`,
		head: (_start, end) => Math.ceil((end - capacity) / blockSize) * blockSize,
	};
}
