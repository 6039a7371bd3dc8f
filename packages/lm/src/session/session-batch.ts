/** Sessions that share the runs of a graph: the implementation of `Batch`. */
import type { Policy } from "@tok/kv-cache";
import type { StepBatch } from "../decoder/step-batch.ts";
import type { Batch, Session, SessionOptions } from "../model.ts";

/** Opens a session in a place of the batch; the model knows how. */
export type OpenInBatch = (steps: StepBatch, options: SessionOptions) => Session;

export class SessionBatch implements Batch {
	readonly #steps: StepBatch;
	readonly #openSession: OpenInBatch;
	readonly #sessions = new Set<Session>();

	constructor(steps: StepBatch, openSession: OpenInBatch) {
		this.#steps = steps;
		this.#openSession = openSession;
	}

	get policy(): Policy {
		return this.#steps.policy;
	}

	get size(): number {
		return this.#steps.bank.size;
	}

	get open(): number {
		return this.#steps.open;
	}

	createSession(options: Partial<SessionOptions> = {}): Session {
		// A batch outlives many sessions.
		for (const each of this.#sessions) if (each.stats.bytes === 0) this.#sessions.delete(each);
		const session = this.#openSession(this.#steps, { policy: this.policy, ...options });
		this.#sessions.add(session);
		return session;
	}

	dispose(): void {
		for (const session of this.#sessions) session.dispose();
		this.#sessions.clear();
		this.#steps.dispose();
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}
