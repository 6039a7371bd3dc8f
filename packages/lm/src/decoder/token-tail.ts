/**
 * The last tokens of a stream, for whoever looks back on them: a repetition penalty, guesses, a policy that reads tokens
 * again, an archive that knows by them of which tokens its blocks are. What came before them is forgotten.
 */
import type { Policy } from "@tok/kv-cache";
import { tokensInReach } from "./archive-layout.ts";

/** Tokens that are remembered at the least. Where a policy needs more, more are. */
export const LEAST_TAIL = 4096;

export class TokenTail {
	/** As many as the limit, and at times some more. */
	#ids: number[];
	readonly #limit: number;

	/** Goes on after `ids`. */
	constructor(policy: Policy, ids: readonly number[] = []) {
		this.#ids = [...ids];
		this.#limit = Math.max(LEAST_TAIL, tokensInReach(policy) + 1);
	}

	/** At least `LEAST_TAIL`, and as many as the policy can need again. */
	get ids(): readonly number[] {
		return this.last(this.#limit);
	}

	/** All that are remembered, without a copy. To be read before the next one is pushed. */
	get all(): readonly number[] {
		return this.#ids;
	}

	/** The last `count`, of as many as are remembered. */
	last(count: number): readonly number[] {
		return count === 0 ? [] : this.#ids.slice(-count);
	}

	push(ids: readonly number[]): void {
		for (const id of ids) this.#ids.push(id);
		// Trimmed now and then, so that a token costs the same whatever the limit.
		if (this.#ids.length > 2 * this.#limit + 1024) this.#ids = this.#ids.slice(-this.#limit);
	}

	/** Forgets the last `count`. */
	drop(count: number): void {
		// From the tail as others see it, so that a restored one remembers no less than this one.
		if (count > 0) this.#ids = this.#ids.slice(-this.#limit).slice(0, -count);
	}
}
