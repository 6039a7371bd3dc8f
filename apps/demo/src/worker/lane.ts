/** One stream under one policy: a session that reads a text or writes on, and a cache of integers beside it. */
import { createCache, type KvCache, parsePolicy } from "@tok/kv-cache";
import type { Detokenizer, GeneratedToken, Tokenizer } from "@tok/lm";
import { advance, slotMap } from "../lib/slot-map.ts";
import type { LaneEvent, StreamRequest } from "../protocol.ts";
import { type Host, LastingSession } from "./lasting-session.ts";

type Step = Extract<LaneEvent, { kind: "step" }>;

/** Tokens that a step reads: enough to be quick, few enough to watch. */
const READ = 16;
/** Under `recompute` every token is a window of reading. */
const REREAD = 2;

export class Lane {
	readonly index: number;
	/** Milliseconds that its steps took. */
	spent = 0;
	readonly #session: LastingSession;
	readonly #cache: KvCache;
	readonly #request: StreamRequest;
	readonly #ids: readonly number[];
	readonly #detokenizer: Detokenizer;
	#place = 0;
	#generation: AsyncGenerator<GeneratedToken, void> | undefined;
	/** Aborted with the lane, so that a generation never outlives it. */
	readonly #closed = new AbortController();

	private constructor(
		tokenizer: Tokenizer,
		index: number,
		session: LastingSession,
		request: StreamRequest,
		ids: readonly number[],
	) {
		this.index = index;
		this.#session = session;
		this.#cache = createCache(session.policy, { positions: session.positions });
		this.#request = request;
		this.#ids = ids;
		this.#detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens: true });
	}

	/** Builds the graph of the policy, which takes a while the first time. */
	static async open(
		host: Host,
		index: number,
		policyText: string,
		request: StreamRequest,
		ids: readonly number[],
	): Promise<Lane> {
		const policy = parsePolicy(policyText);
		const session = await LastingSession.open(host, { policy, positions: request.positions });
		const { tokenizer } = (await host.current()).model;
		return new Lane(tokenizer, index, session, request, ids);
	}

	get length(): number {
		return this.#session.stats.length;
	}

	get full(): boolean {
		const { denseLimit, limit } = this.#request;
		const isDense = this.#cache.policy.at(-1)?.kind === "dense";
		return this.length >= (isDense ? Math.min(denseLimit, limit) : limit);
	}

	async step(signal: AbortSignal): Promise<Step> {
		const before = performance.now();
		const { texts, nats } = this.#request.mode === "read" ? await this.#read(signal) : await this.#write();
		const took = performance.now() - before;
		this.spent += took;
		const { length, bytes } = this.#session.stats;
		// A token that was chosen is read with the next one.
		const written = advance(this.#cache, Math.max(0, length - pendingOf(this.#session) - this.#cache.length));
		return {
			kind: "step",
			lane: this.index,
			texts,
			nats,
			length,
			milliseconds: took / Math.max(1, texts.length),
			bytes,
			slots: slotMap(this.#cache, written),
		};
	}

	async close(): Promise<void> {
		this.#closed.abort();
		await this.#generation?.return();
		this.#session.dispose();
	}

	async #read(signal: AbortSignal): Promise<Pick<Step, "texts" | "nats">> {
		const count = this.#cache.policy[0]?.kind === "recompute" ? REREAD : READ;
		// The book begins anew where it ends; the stream does not.
		if (this.#place >= this.#ids.length) this.#place = 0;
		const ids = this.#ids.slice(this.#place, this.#place + count);
		this.#place += ids.length;
		const scores = await this.#session.score(ids, { signal });
		const texts = ids.map((id) => this.#detokenizer.push(id));
		const unscored = Array.from({ length: ids.length - scores.length }, () => undefined);
		return { texts, nats: [...unscored, ...scores] };
	}

	async #write(): Promise<Pick<Step, "texts" | "nats">> {
		const { signal } = this.#closed;
		if (this.#generation === undefined) {
			await this.#session.append(this.#ids, { signal });
			const { sampling } = this.#request;
			this.#generation = this.#session.generate({ ...sampling, ignoreEndOfText: true, logprobs: 0, signal });
		}
		const { value, done } = await this.#generation.next();
		if (done) return { texts: [], nats: [] };
		return { texts: [value.text], nats: [-(value.logprob ?? Number.NaN)] };
	}
}

function pendingOf({ stats }: LastingSession): number {
	return stats.length - stats.retained - stats.evicted;
}
