/** Where a policy keeps an archive, and which tokens of the stream its entries are. Integers only. */
import type { Policy } from "@tok/kv-cache";

export interface ArchiveLayout {
	/** Index of the segment in the policy. */
	readonly segment: number;
	/** Entries of a block. */
	readonly blockSize: number;
	/** Most entries that it keeps. */
	readonly capacity: number;
	/** Tokens for which a choice of blocks holds. */
	readonly every: number;
	/** Stream index of the first token that no sink takes, which is the first to arrive in the end. */
	readonly origin: number;
	/** Tokens that an entry stands for: 1, or more where it is sent entries that were merged. */
	readonly tokensPerEntry: number;
	/** What leaves it goes on into another segment. */
	readonly sendsOn: boolean;
	/** The least recalled blocks leave it first, and others change places. */
	readonly chooses: boolean;
	/** It takes what the window drops, as it is, so that it can leave a session, and come from elsewhere. */
	readonly portable: boolean;
}

/** Undefined for a policy without a segment that is recalled. */
export function archiveLayout(policy: Policy): ArchiveLayout | undefined {
	const segment = policy.findIndex(({ recall }) => recall !== undefined);
	const { takes, slots: capacity, every = 1, eviction } = policy[segment] ?? {};
	if (capacity === undefined || typeof takes !== "object") return undefined;
	const origin = policy.reduce((sum, { takes, slots }) => sum + (takes === "tokens" ? slots : 0), 0);
	const perEntry = tokensPerEntry(policy)[segment] as number;
	const portable = segment === policy.length - 2;
	const sendsOn = typeof policy[segment - 1]?.takes === "object";
	const chooses = eviction === "least-recalled";
	return {
		segment,
		blockSize: takes.entries,
		capacity,
		every,
		origin,
		tokensPerEntry: perEntry,
		sendsOn,
		chooses,
		portable,
	};
}

/**
 * Tokens of the stream, counted from its end, among which all are that an archive and what comes after it hold: all but
 * those of an archive whose blocks may be of any age.
 */
export function tokensInReach(policy: Policy): number {
	const tokens = tokensPerEntry(policy);
	const first = policy.findIndex(({ recall }) => recall !== undefined);
	const anyAge = policy[first]?.eviction === "least-recalled" ? 1 : 0;
	let sum = 0;
	for (let k = Math.max(0, first + anyAge); k < policy.length; k++) {
		const takes = policy[k - 1]?.takes;
		// A segment keeps an incomplete group until it is whole.
		const waiting = typeof takes === "object" ? takes.group - 1 : 0;
		sum += ((policy[k]?.slots ?? 0) + waiting) * (tokens[k] as number);
	}
	return sum;
}

/** Per segment, the tokens that one of its entries stands for. */
export function tokensPerEntry(policy: Policy): number[] {
	let tokens = 1;
	return [...policy]
		.reverse()
		.map(({ takes }) => {
			if (typeof takes === "object") tokens *= takes.group / takes.entries;
			return takes === "tokens" ? 1 : tokens;
		})
		.reverse();
}
