/**
 * An endless conversation on one session: the system message pinned for ever, turns dropped whole, the last few kept
 * as ids so that a new policy can start from them.
 */
import { formatPolicy, type Policy } from "@tok/kv-cache";
import type { Model, RecalledPassage, Session, SessionOptions, SessionStats } from "@tok/lm";
import { fail } from "../errors.ts";
import { type GenerationReport, type GenerationView, runGeneration } from "../generation/generation.ts";
import type { SamplingSettings } from "../sampling-flags.ts";
import { defined } from "../shared-flags.ts";
import { type TurnTexts, turnTexts } from "./turn-texts.ts";

export interface ConversationOptions extends Omit<SessionOptions, "pin"> {
	/** Opens a session under these options. */
	readonly open: (options: SessionOptions) => Promise<Session>;
	readonly system: string | undefined;
	readonly sampling: SamplingSettings;
	/** Most tokens of one answer. */
	readonly maxTokens: number;
}

/** Tokens of past turns that are kept for a change of policy. */
const keptTokens = 2048;

export class Conversation {
	readonly #model: Model;
	readonly #options: ConversationOptions;
	readonly #texts: TurnTexts;
	#session: Session;
	#turns: number[][] = [];
	#begun = false;

	private constructor(model: Model, options: ConversationOptions, texts: TurnTexts, session: Session) {
		this.#model = model;
		this.#options = options;
		this.#texts = texts;
		this.#session = session;
	}

	/** Rejects with a TokError for a model without a chat template. */
	static async start(model: Model, options: ConversationOptions): Promise<Conversation> {
		const { chatTemplate, info } = model;
		if (chatTemplate === undefined) fail(`chat: ${info.name} carries no chat template. Use tok generate.`);
		const texts = turnTexts(chatTemplate, options.system);
		return new Conversation(model, options, texts, await open(model, options, texts, options.policy));
	}

	get policy(): string {
		return formatPolicy(this.#session.policy);
	}

	get stats(): SessionStats {
		return this.#session.stats;
	}

	/** Whether the policy archives what leaves the window. */
	get remembers(): boolean {
		return this.#session.policy.some(({ recall }) => recall !== undefined);
	}

	/** What the last answer drew on. */
	get recalled(): readonly RecalledPassage[] {
		return this.#session.recalled();
	}

	/** One message and its answer. An abort ends the answer; the conversation can go on. */
	async say(message: string, view: GenerationView, signal: AbortSignal): Promise<GenerationReport> {
		const { sampling, maxTokens } = this.#options;
		const turn = this.#encode(this.#begun ? this.#texts.userTurn(message) : this.#texts.firstTurn(message));
		this.#begun = true;
		const answer: number[] = [];
		const report = await runGeneration(
			this.#session,
			turn,
			{ ...sampling, maxTokens, signal, turn: true },
			{
				reading: (read, total) => view.reading(read, total),
				token(token) {
					answer.push(token.id);
					return view.token(token);
				},
			},
		);
		// The token with which a model ends its answer is not part of the session; the template's own end is.
		const end = this.#encode(this.#texts.answerEnd);
		await this.#session.append(end);
		const { endOfTextIds } = this.#model.tokenizer;
		this.#remember([...turn, ...answer.filter((id) => !endOfTextIds.has(id)), ...end]);
		return report;
	}

	/** Starts anew: the system message alone. */
	async clear(): Promise<void> {
		this.#replace(await open(this.#model, this.#options, this.#texts, this.#session.policy));
		this.#turns = [];
		this.#begun = false;
	}

	/** Goes on under another policy; the last turns are read again. Returns how many. */
	async changePolicy(policy: Policy): Promise<number> {
		this.#replace(await open(this.#model, this.#options, this.#texts, policy));
		for (const turn of this.#turns) await this.#session.append(turn, { turn: true });
		return this.#turns.length;
	}

	async save(path: string): Promise<void> {
		await this.#session.save(path);
	}

	async restore(path: string): Promise<void> {
		const { chunk } = this.#options;
		this.#replace(await this.#model.restoreSession(path, defined({ chunk })));
		this.#turns = [];
		this.#begun = true;
	}

	dispose(): void {
		this.#session.dispose();
	}

	#replace(session: Session): void {
		this.#session.dispose();
		this.#session = session;
	}

	#encode(text: string): number[] {
		return this.#model.tokenizer.encode(text, { parseSpecial: true, addSpecialTokens: false });
	}

	#remember(turn: number[]): void {
		this.#turns.push(turn);
		let tokens = this.#turns.reduce((sum, { length }) => sum + length, 0);
		while (tokens > keptTokens && this.#turns.length > 1) tokens -= this.#turns.shift()?.length ?? 0;
	}
}

function open(
	model: Model,
	options: ConversationOptions,
	texts: TurnTexts,
	policy: Policy,
): Promise<Session> {
	const { positions, chunk } = options;
	const pin = model.tokenizer.encode(texts.opening, { parseSpecial: true, addSpecialTokens: false });
	return options.open({ policy, ...defined({ positions, chunk }), ...(pin.length > 0 && { pin }) });
}
