/** Sessions that share the runs of a graph: the implementation of `Batch`. */
import type { Policy } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import type { StepBatch } from "../decoder/step-batch.ts";
import type { ArchiveFileOptions, Batch, Session, SessionOptions } from "../model.ts";

/** What a batch needs of the model that made it. */
export interface BatchModel {
	/** A session in a place of the batch. */
	open(steps: StepBatch, options: SessionOptions): Session;
	/** The same, beginning with an archive. */
	openWithArchive(
		steps: StepBatch,
		source: string | Blob,
		options: SessionOptions & ArchiveFileOptions,
	): Promise<Session>;
	/** Batches that are open; disposed with the model. */
	readonly batches: Set<Batch>;
}

export class SessionBatch implements Batch {
	readonly #steps: StepBatch;
	readonly #model: BatchModel;
	readonly #sessions = new Set<Session>();

	constructor(steps: StepBatch, model: BatchModel) {
		this.#steps = steps;
		this.#model = model;
		model.batches.add(this);
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
		checkAlone(options);
		return this.#keep(this.#model.open(this.#steps, { policy: this.policy, ...options }));
	}

	async createSessionWithArchive(
		source: string | Blob,
		options: Partial<SessionOptions> & ArchiveFileOptions = {},
	): Promise<Session> {
		checkAlone(options);
		const all = { policy: this.policy, ...options };
		return this.#keep(await this.#model.openWithArchive(this.#steps, source, all));
	}

	#keep(session: Session): Session {
		// A batch outlives many sessions.
		for (const each of this.#sessions) if (each.stats.bytes === 0) this.#sessions.delete(each);
		this.#sessions.add(session);
		return session;
	}

	dispose(): void {
		for (const session of this.#sessions) session.dispose();
		this.#sessions.clear();
		this.#steps.dispose();
		this.#model.batches.delete(this);
	}

	[Symbol.dispose](): void {
		this.dispose();
	}
}

function checkAlone({ attention }: Partial<SessionOptions>): void {
	if (attention === true)
		throw new TokError(
			"lm",
			"createSession: expected no attention in a batch, got { attention: true }. Use the model's createSession.",
		);
}
