/**
 * An endless chat: the system message pinned, turns that leave whole, the session saved to a file and back, what was
 * said included.
 */
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import { type ChatMessage, type ChatTemplate, inspectSession, type Model } from "@tok/lm";
import { chatNotes } from "../lib/chat-notes.ts";
import { formatCount } from "../lib/format.ts";
import type { Context } from "../lib/rpc.ts";
import { pinnedTokens, windowStart } from "../lib/window-start.ts";
import type { ChatEvent, ChatRequest, ChatState, ChatTurn, SayRequest } from "../protocol.ts";
import { type Host, LastingSession } from "./lasting-session.ts";

/** Turns that are kept as text: those before have long left any window. */
const MOST_TURNS = 60;
/** Turns of which the window is told; far more than one holds. */
const MOST_STARTS = 512;

export class Conversation {
	readonly #model: Model;
	readonly #template: ChatTemplate;
	readonly #session: LastingSession;
	readonly #system: string;
	/** Tokens at which questions begin. */
	#starts: readonly number[];
	#turns: readonly ChatTurn[];
	#begun: boolean;

	private constructor(
		model: Model,
		session: LastingSession,
		{ system, starts, turns, begun }: ReturnType<typeof chatNotes> & { readonly begun: boolean },
	) {
		this.#model = model;
		this.#template = templateOf(model);
		this.#session = session;
		this.#system = system;
		this.#starts = starts;
		this.#turns = turns;
		this.#begun = begun;
	}

	static async start(host: Host, { system, policy }: ChatRequest): Promise<Conversation> {
		const model = await chatModel(host);
		const messages = systemMessages(system);
		const opening =
			messages.length === 0 ? "" : templateOf(model).render(messages, { addGenerationPrompt: false });
		const pin = encode(model, opening);
		const session = await LastingSession.open(host, {
			policy: parsePolicy(policy),
			...(pin.length > 0 && { pin }),
		});
		return new Conversation(model, session, { system, starts: [], turns: [], begun: false });
	}

	static async restore(host: Host, file: Blob): Promise<Conversation> {
		const model = await chatModel(host);
		const session = await LastingSession.restore(host, file);
		const { data } = await inspectSession(file);
		return new Conversation(model, session, { ...chatNotes(data), begun: true });
	}

	state(): ChatState {
		const { policy, stats } = this.#session;
		return {
			system: this.#system,
			policy: formatPolicy(policy),
			length: stats.length,
			pinned: Math.min(stats.length, pinnedTokens(policy)),
			window: this.#window(),
			bytes: stats.bytes,
			turns: this.#turns,
			recalled: this.#session.recalled().map(({ text, mass }) => ({ text, mass })),
		};
	}

	/**
	 * One message and its answer. An abort ends the answer, or the reading, not the chat: what was read by then stays,
	 * and is closed, so that the next message follows a whole turn.
	 */
	async say(
		{ text, sampling, maxTokens }: SayRequest,
		{ signal, emit }: Context<ChatEvent>,
	): Promise<ChatState> {
		const content = text.trim();
		const start = this.#session.stats.length;
		const ids = encode(this.#model, this.#turnText(content));
		try {
			await this.#session.append(ids, {
				turn: true,
				signal,
				onProgress: (read, total) => emit({ kind: "reading", read, total }),
			});
		} catch (error) {
			if (!signal.aborted) throw error;
		}
		const read = this.#session.stats.length - start;
		if (read === 0) return this.state();
		this.#begun = true;
		this.#starts = [...this.#starts, start].slice(-MOST_STARTS);
		const cut = read < ids.length;
		let answer = "";
		if (!cut) {
			this.#add({ who: "you", text: content, end: start + read });
			for await (const token of this.#session.generate({ ...sampling, maxTokens, signal })) {
				answer += token.text;
				const { length } = this.#session.stats;
				emit({ kind: "token", text: token.text, length, window: this.#window() });
			}
		}
		// The token with which a model ends its answer is no part of the session; the template's own end is.
		await this.#session.append(encode(this.#model, this.#template.assistantEnd));
		const end = this.#session.stats.length;
		if (cut) {
			const note = `Stopped: ${formatCount(read)} of its ${formatCount(ids.length)} tokens were read.`;
			this.#add({ who: "you", text: content, end, note });
		} else this.#add({ who: "model", text: answer, end, ...(signal.aborted && { note: "Stopped." }) });
		return this.state();
	}

	save(): Promise<Blob> {
		return this.#session.save({
			data: { system: this.#system, starts: this.#starts, turns: this.#turns },
		});
	}

	dispose(): void {
		this.#session.dispose();
	}

	#add(turn: ChatTurn): void {
		this.#turns = [...this.#turns, turn].slice(-MOST_TURNS);
	}

	#window(): number {
		return windowStart(this.#session.policy, this.#session.stats.length, this.#starts);
	}

	/** What the template writes for this message, with the opening of the answer. */
	#turnText(content: string): string {
		const next = [{ role: "user", content }];
		if (!this.#begun) return this.#template.renderNext(systemMessages(this.#system), next).text;
		// A turn does not depend on the ones before it; the template wants to see some all the same.
		const before = [
			{ role: "user", content: "…" },
			{ role: "assistant", content: "…" },
		];
		return this.#template.renderNext(before, next).text;
	}
}

function systemMessages(system: string): ChatMessage[] {
	return system.trim() === "" ? [] : [{ role: "system", content: system.trim() }];
}

/** The model, with what renders its template. */
async function chatModel(host: Host): Promise<Model> {
	const { model } = await host.current();
	await templateOf(model).prepare();
	return model;
}

function templateOf({ chatTemplate, info }: Model): ChatTemplate {
	if (chatTemplate === undefined)
		throw new Error(`${info.name} carries no chat template. Choose a model for chats.`);
	return chatTemplate;
}

function encode({ tokenizer }: Model, text: string): number[] {
	return tokenizer.encode(text, { parseSpecial: true, addSpecialTokens: false });
}
