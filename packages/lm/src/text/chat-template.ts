/**
 * Chats as text: the Jinja template that a model was trained with, as transformers renders it (`trim_blocks`,
 * `lstrip_blocks`, `raise_exception`, `strftime_now`). The text holds control tokens: encode it with
 * `{ parseSpecial: true, addSpecialTokens: false }`, since templates write bos themselves.
 */
import type { Template } from "@huggingface/jinja";
import { TokError } from "@tok/runtime";
import type { MetadataValue } from "../formats/tensor-file.ts";
import { loadPart } from "../load-part.ts";
import type { Tokenizer } from "./tokenizer.ts";

export interface ChatMessage {
	/** "system", "user", "assistant"; what a template accepts is its own business. */
	readonly role: string;
	readonly content: string;
}

export interface RenderOptions {
	/** Ends with the opening of the assistant's turn, so that the model answers. Defaults to true. */
	readonly addGenerationPrompt?: boolean;
	/** Further variables of the template, such as `tools` or `enable_thinking`. Defaults to none. */
	readonly extra?: Readonly<Record<string, unknown>>;
}

export interface NextTurns {
	/** What to append when `continues`; otherwise the whole conversation, to be read afresh. */
	readonly text: string;
	/** Whether the rendered conversation begins with the rendered `previous`. */
	readonly continues: boolean;
}

export interface ChatTemplate {
	/** Jinja. */
	readonly source: string;
	/**
	 * What the template writes after an assistant's message, such as "<|im_end|>\n". A model's answer ends with its
	 * beginning; append the rest before `renderNext`. "" when the template does not show.
	 */
	readonly assistantEnd: string;
	/**
	 * Loads what renders templates. Needed once, and only of a model that was loaded with `prepareChat: false`: until
	 * then everything here but `source` throws. Rejects when the template cannot be read.
	 */
	prepare(): Promise<void>;
	/** Throws a TokError with the template's own words when it refuses the messages. */
	render(messages: readonly ChatMessage[], options?: RenderOptions): string;
	/**
	 * The turns that `next` adds to a conversation that was read already. Some templates rewrite earlier turns (they
	 * drop reasoning, or move the system text); then there is nothing to append, and `continues` is false.
	 */
	renderNext(
		previous: readonly ChatMessage[],
		next: readonly ChatMessage[],
		options?: RenderOptions,
	): NextTurns;
}

export interface ChatTemplateTokens {
	/** The template's `bos_token` and `eos_token`. Default to "". */
	readonly bosToken?: string | undefined;
	readonly eosToken?: string | undefined;
}

/** Is yet to be prepared. */
export function createChatTemplate(source: string, tokens: ChatTemplateTokens = {}): ChatTemplate {
	return new JinjaTemplate(source, tokens);
}

class JinjaTemplate implements ChatTemplate {
	readonly source: string;
	readonly #tokens: ChatTemplateTokens;
	#template: Template | undefined;
	#assistantEnd: string | undefined;

	constructor(source: string, tokens: ChatTemplateTokens) {
		this.source = source;
		this.#tokens = tokens;
	}

	get assistantEnd(): string {
		this.#prepared();
		this.#assistantEnd ??= findAssistantEnd(this);
		return this.#assistantEnd;
	}

	async prepare(): Promise<void> {
		if (this.#template !== undefined) return;
		const { Template } = await loadPart("renders chat templates", () => import("@huggingface/jinja"));
		this.#template = attempt("expected a Jinja template that can be read", () => new Template(this.source));
	}

	render(messages: readonly ChatMessage[], options: RenderOptions = {}): string {
		const { addGenerationPrompt = true, extra = {} } = options;
		const { bosToken = "", eosToken = "" } = this.#tokens;
		const template = this.#prepared();
		return attempt("the model's template refuses these messages", () =>
			template.render({
				...extra,
				messages,
				bos_token: bosToken,
				eos_token: eosToken,
				add_generation_prompt: addGenerationPrompt,
			}),
		);
	}

	renderNext(
		previous: readonly ChatMessage[],
		next: readonly ChatMessage[],
		options?: RenderOptions,
	): NextTurns {
		const whole = this.render([...previous, ...next], options);
		const read = this.render(previous, { ...options, addGenerationPrompt: false });
		const continues = whole.startsWith(read);
		return { text: continues ? whole.slice(read.length) : whole, continues };
	}

	#prepared(): Template {
		if (this.#template !== undefined) return this.#template;
		throw new TokError(
			"lm",
			"chat template: expected one that is prepared, as the model was loaded with prepareChat: false. Await its " +
				"prepare() first.",
		);
	}
}

/** Undefined when the file carries no template. */
export function chatTemplateFromGguf(
	metadata: ReadonlyMap<string, MetadataValue>,
	tokenizer: Tokenizer,
): ChatTemplate | undefined {
	const source = metadata.get("tokenizer.chat_template");
	return typeof source === "string" ? createChatTemplate(source, tokensOf(tokenizer)) : undefined;
}

/** Of a tokenizer. */
export function tokensOf(tokenizer: Tokenizer): ChatTemplateTokens {
	const text = (id: number | undefined) => (id === undefined ? undefined : tokenizer.tokenText(id));
	return { bosToken: text(tokenizer.bosId), eosToken: text(tokenizer.eosId) };
}

function findAssistantEnd(template: ChatTemplate): string {
	const marker = "assistant-content";
	try {
		const text = template.render(
			[
				{ role: "user", content: "user-content" },
				{ role: "assistant", content: marker },
			],
			{
				addGenerationPrompt: false,
			},
		);
		const at = text.lastIndexOf(marker);
		return at === -1 ? "" : text.slice(at + marker.length);
	} catch {
		return "";
	}
}

function attempt<Result>(expectation: string, action: () => Result): Result {
	try {
		return action();
	} catch (cause) {
		const said = cause instanceof Error ? cause.message : String(cause);
		throw new TokError("lm", `chat template: ${expectation}; it said: ${said}`, { cause });
	}
}
