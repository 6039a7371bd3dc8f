/** An endless chat: the system message pinned, turns that leave whole, the session saved to a file and back. */
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import type { ChatMessage, ChatTemplate, Model, Session } from "@tok/lm";
import type { Context } from "../lib/rpc.ts";
import { pinnedTokens, windowStart } from "../lib/window-start.ts";
import type { ChatEvent, ChatRequest, ChatState, SayRequest } from "../protocol.ts";

/** Turns of which the window is told; far more than one holds. */
const MOST_TURNS = 512;

export class Conversation {
	readonly #model: Model;
	readonly #template: ChatTemplate;
	readonly #session: Session;
	readonly #system: readonly ChatMessage[];
	/** Tokens at which turns begin. */
	#turns: number[] = [];
	#begun: boolean;

	private constructor(model: Model, session: Session, system: readonly ChatMessage[], begun: boolean) {
		this.#model = model;
		this.#template = templateOf(model);
		this.#session = session;
		this.#system = system;
		this.#begun = begun;
	}

	static start(model: Model, { system, policy }: ChatRequest): Conversation {
		const messages = system.trim() === "" ? [] : [{ role: "system", content: system.trim() }];
		const opening =
			messages.length === 0 ? "" : templateOf(model).render(messages, { addGenerationPrompt: false });
		const pin = encode(model, opening);
		const session = model.createSession({ policy: parsePolicy(policy), ...(pin.length > 0 && { pin }) });
		return new Conversation(model, session, messages, false);
	}

	static async restore(model: Model, file: Blob): Promise<Conversation> {
		return new Conversation(model, await model.restoreSession(file), [], true);
	}

	state(): ChatState {
		const { policy, stats } = this.#session;
		return {
			policy: formatPolicy(policy),
			length: stats.length,
			pinned: Math.min(stats.length, pinnedTokens(policy)),
			window: this.#window(),
			bytes: stats.bytes,
			recalled: this.#session.recalled().map(({ text, mass }) => ({ text, mass })),
		};
	}

	/** One message and its answer. An abort ends the answer, not the chat. */
	async say(
		{ text, sampling, maxTokens }: SayRequest,
		{ signal, emit }: Context<ChatEvent>,
	): Promise<ChatState> {
		this.#turns = [...this.#turns, this.#session.stats.length].slice(-MOST_TURNS);
		const turn = encode(this.#model, this.#turnText(text.trim()));
		await this.#session.append(turn, {
			turn: true,
			signal,
			onProgress: (read, total) => emit({ kind: "reading", read, total }),
		});
		this.#begun = true;
		for await (const token of this.#session.generate({ ...sampling, maxTokens, signal }))
			emit({
				kind: "token",
				text: token.text,
				length: this.#session.stats.length,
				window: this.#window(),
			});
		// The token with which a model ends its answer is no part of the session; the template's own end is.
		await this.#session.append(encode(this.#model, this.#template.assistantEnd));
		return this.state();
	}

	async save(): Promise<Blob> {
		const parts: Uint8Array<ArrayBuffer>[] = [];
		await this.#session.save(
			new WritableStream<Uint8Array>({ write: (part) => void parts.push(new Uint8Array(part)) }),
		);
		return new Blob(parts, { type: "application/octet-stream" });
	}

	dispose(): void {
		this.#session.dispose();
	}

	#window(): number {
		return windowStart(this.#session.policy, this.#session.stats.length, this.#turns);
	}

	/** What the template writes for this message, with the opening of the answer. */
	#turnText(content: string): string {
		const next = [{ role: "user", content }];
		if (!this.#begun) return this.#template.renderNext(this.#system, next).text;
		// A turn does not depend on the ones before it; the template wants to see some all the same.
		const before = [
			{ role: "user", content: "…" },
			{ role: "assistant", content: "…" },
		];
		return this.#template.renderNext(before, next).text;
	}
}

function templateOf({ chatTemplate, info }: Model): ChatTemplate {
	if (chatTemplate === undefined)
		throw new Error(`${info.name} carries no chat template. Choose a model for chats.`);
	return chatTemplate;
}

function encode({ tokenizer }: Model, text: string): number[] {
	return tokenizer.encode(text, { parseSpecial: true, addSpecialTokens: false });
}
