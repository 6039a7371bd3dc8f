/** Where the window of a policy begins in a stream, without a cache to ask: of a restored session there is none. */
import type { Policy } from "@tok/kv-cache";

/**
 * Index of the first token that the window holds of a stream of `length` tokens.
 * @param turns Tokens at which turns begin, ascending: a policy with turns drops whole ones.
 */
export function windowStart(policy: Policy, length: number, turns: readonly number[] = []): number {
	const tail = policy.at(-1);
	const sinks = pinnedTokens(policy);
	if (tail === undefined) return 0;
	const oldest = Math.max(sinks, length - tail.slots);
	if (tail.turns !== true || oldest === sinks) return oldest;
	return turns.find((start) => start >= oldest) ?? oldest;
}

/** Tokens at the beginning that never leave. */
export function pinnedTokens(policy: Policy): number {
	return policy.reduce((sum, { takes, slots }) => (takes === "tokens" ? sum + slots : sum), 0);
}
