/** A stream that is looked into: after every token, on what it laid its attention, in each layer and head. */
import { parsePolicy } from "@tok/kv-cache";
import type { Detokenizer, GeneratedToken, Tokenizer } from "@tok/lm";
import type { Context } from "../lib/rpc.ts";
import type { InsideFrame, InsideStream } from "../protocol.ts";
import { type Host, LastingSession } from "./lasting-session.ts";

/** Tokens that are read before they are read one by one: more than the window that comes with the page holds. */
const LEAD = 288;
/** Tokens that are read at a time until then. */
const PIECE = 32;

export class Inside {
	readonly #session: LastingSession;
	readonly #stream: InsideStream;
	readonly #ids: readonly number[];
	readonly #detokenizer: Detokenizer;
	readonly #segments: readonly string[];
	#place = 0;
	#generation: AsyncGenerator<GeneratedToken, void> | undefined;
	/** Chosen, and not read yet. */
	#next: string | undefined;
	/** Aborted when it is closed, so that a generation never outlives it. */
	readonly #closed = new AbortController();

	private constructor(session: LastingSession, tokenizer: Tokenizer, stream: InsideStream) {
		this.#session = session;
		this.#stream = stream;
		this.#ids = tokenizer.encode(stream.text);
		this.#detokenizer = tokenizer.createDetokenizer({ skipSpecialTokens: true });
		this.#segments = session.policy.map(({ kind }) => kind);
	}

	/** Builds the graph of the policy that tells of attention, which takes a while the first time. */
	static async open(host: Host, stream: InsideStream): Promise<Inside> {
		const policy = parsePolicy(stream.policy);
		const session = await LastingSession.open(host, { policy, attention: true });
		return new Inside(session, (await host.current()).model.tokenizer, stream);
	}

	/** So many frames, or fewer where it is stopped or the stream may grow no more. */
	async look(frames: number, { signal, emit }: Context<InsideFrame>): Promise<void> {
		for (let left = frames; left > 0 && !this.#full && !signal.aborted; left--) {
			const before = performance.now();
			const texts = await (this.#stream.mode === "read" ? this.#read() : this.#write());
			const milliseconds = (performance.now() - before) / Math.max(1, texts.length);
			const attention = this.#session.attention();
			// A session that was read again on another device has nothing to tell yet.
			if (attention === undefined) continue;
			const { bytes } = this.#session.stats;
			emit({ attention, texts, next: this.#next, segments: this.#segments, milliseconds, bytes });
		}
	}

	async close(): Promise<void> {
		this.#closed.abort();
		await this.#generation?.return();
		this.#session.dispose();
	}

	get #full(): boolean {
		const { policy, stats } = this.#session;
		return policy.at(-1)?.kind === "dense" && stats.length >= this.#stream.denseLimit;
	}

	async #read(): Promise<readonly string[]> {
		// The book begins anew where it ends; the stream does not.
		if (this.#place >= this.#ids.length) this.#place = 0;
		const count = this.#session.stats.length < LEAD ? PIECE : 1;
		const ids = this.#ids.slice(this.#place, this.#place + count);
		this.#place += ids.length;
		await this.#session.append(ids);
		return ids.map((id) => this.#detokenizer.push(id));
	}

	/** The token that looks is the one of before: what it has chosen nobody has read yet. */
	async #write(): Promise<readonly string[]> {
		const { signal } = this.#closed;
		const read = this.#next;
		if (this.#generation === undefined) {
			await this.#session.append(this.#ids, { signal });
			const { sampling } = this.#stream;
			this.#generation = this.#session.generate({ ...sampling, ignoreEndOfText: true, signal });
		}
		this.#next = (await this.#generation.next()).value?.text;
		return read === undefined ? this.#ids.map((id) => this.#detokenizer.push(id)) : [read];
	}
}
