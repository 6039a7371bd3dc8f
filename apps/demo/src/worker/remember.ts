/**
 * A fact, a book, a question: what is left of the fact once the window has moved past? The wording is that of
 * `tok eval needle`: plain continuation, which small models answer as long as they see the sentence.
 */
import { parsePolicy } from "@tok/kv-cache";
import type { Tokenizer } from "@tok/lm";
import type { Context } from "../lib/rpc.ts";
import { pinnedTokens, windowStart } from "../lib/window-start.ts";
import type { RememberEvent, RememberRequest, Span } from "../protocol.ts";
import { type Host, LastingSession } from "./lasting-session.ts";

/** Tokens before the fact, so that sinks do not pass for a memory. */
const LEAD = 64;
/** Tokens of an answer at the most. */
const ANSWER = 12;
/** Tokens that are read at a time. */
const PIECE = 64;

/** Lanes one after the other: what they share is the text, not the time. */
export async function remember(
	host: Host,
	request: RememberRequest,
	{ signal, emit }: Context<RememberEvent>,
): Promise<void> {
	const { tokenizer } = (await host.current()).model;
	for (const [lane, policy] of request.policies.entries()) {
		let session: LastingSession | undefined;
		try {
			emit({ kind: "preparing", lane });
			session = await LastingSession.open(host, { policy: parsePolicy(policy), chunk: PIECE });
			signal.throwIfAborted();
			await new Asking(tokenizer, session, lane, emit).run(request, signal);
		} catch (error) {
			signal.throwIfAborted();
			emit({ kind: "failed", lane, message: (error as Error).message });
		} finally {
			session?.dispose();
		}
	}
}

class Asking {
	readonly #tokenizer: Tokenizer;
	readonly #session: LastingSession;
	readonly #lane: number;
	readonly #emit: (event: RememberEvent) => void;
	/** Where each token begins in the transcript, and where the last one ends. */
	readonly #offsets: number[] = [0];
	#fact: Span | undefined;
	#read = 0;
	#total = 0;

	constructor(
		tokenizer: Tokenizer,
		session: LastingSession,
		lane: number,
		emit: (event: RememberEvent) => void,
	) {
		this.#tokenizer = tokenizer;
		this.#session = session;
		this.#lane = lane;
		this.#emit = emit;
	}

	async run({ text, fact, question, gap }: RememberRequest, signal: AbortSignal): Promise<void> {
		const encode = (part: string): number[] => this.#tokenizer.encode(part, { addSpecialTokens: false });
		// Of a long book only its beginning is read.
		const filler = encode(text.slice(0, (LEAD + gap) * 12));
		const planted = encode(`\n\n${fact.trim()}\n\n`);
		const asked = encode(`\n\n${question.trimStart()}`);
		const after = filler.slice(LEAD, LEAD + gap);
		this.#total = LEAD + planted.length + after.length + asked.length;
		await this.#append(filler.slice(0, LEAD), signal);
		const start = this.#offsets.at(-1) as number;
		await this.#append(planted, signal, (end) => {
			this.#fact = { start, end };
		});
		await this.#append(after, signal);
		await this.#append(asked, signal);
		await this.#answer(signal);
	}

	async #append(ids: readonly number[], signal: AbortSignal, done?: (end: number) => void): Promise<void> {
		const detokenizer = this.#tokenizer.createDetokenizer({ continued: this.#session.stats.length > 0 });
		for (let from = 0; from < ids.length; from += PIECE) {
			const piece = ids.slice(from, from + PIECE);
			await this.#session.append(piece, { signal });
			let text = "";
			for (const id of piece) {
				const part = detokenizer.push(id);
				text += part;
				this.#offsets.push((this.#offsets.at(-1) as number) + part.length);
			}
			this.#read += piece.length;
			if (from + PIECE >= ids.length) done?.(this.#offsets.at(-1) as number);
			this.#emit({
				kind: "read",
				lane: this.#lane,
				text,
				read: this.#read,
				total: this.#total,
				bytes: this.#session.stats.bytes,
				archived: this.#archived(),
				window: this.#window(),
				fact: this.#fact,
			});
		}
	}

	async #answer(signal: AbortSignal): Promise<void> {
		const options = { temperature: 0, maxTokens: ANSWER, stop: ["\n"], signal };
		for await (const { text } of this.#session.generate(options))
			if (text !== "") this.#emit({ kind: "answer", lane: this.#lane, text });
		signal.throwIfAborted();
		const passages = this.#session.recalled().map(({ start, ids, mass }) => ({
			start: this.#offset(start),
			end: this.#offset(start + ids.length),
			mass,
		}));
		this.#emit({ kind: "recalled", lane: this.#lane, passages, window: this.#window() });
	}

	/** Where a token begins in the transcript. */
	#offset(token: number): number {
		return this.#offsets[Math.min(token, this.#offsets.length - 1)] as number;
	}

	#window(): number {
		return this.#offset(windowStart(this.#session.policy, this.#session.stats.length));
	}

	#archived(): number {
		const { policy, stats } = this.#session;
		if (!policy.some(({ recall }) => recall !== undefined)) return 0;
		return Math.max(0, stats.retained - pinnedTokens(policy) - (policy.at(-1)?.slots ?? 0));
	}
}
