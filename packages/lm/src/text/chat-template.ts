/**
 * Chats as text: the Jinja template that a model was trained with, as transformers renders it (`trim_blocks`,
 * `lstrip_blocks`, `raise_exception`, `strftime_now`). The text holds control tokens: encode it with
 * `{ parseSpecial: true, addSpecialTokens: false }`, since templates write bos themselves.
 */
import { Template } from "@huggingface/jinja";
import { TokError } from "@tok/runtime";
import type { MetadataValue } from "../formats/tensor-file.ts";
import { asArray, asObject, asString, asTokenText, type ReadText, readJson } from "./json-fields.ts";
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

export function createChatTemplate(source: string, tokens: ChatTemplateTokens = {}): ChatTemplate {
	const template = attempt("expected a Jinja template that can be read", () => new Template(source));
	const { bosToken = "", eosToken = "" } = tokens;
	const render = (messages: readonly ChatMessage[], options: RenderOptions = {}): string => {
		const { addGenerationPrompt = true, extra = {} } = options;
		return attempt("the model's template refuses these messages", () =>
			template.render({
				...extra,
				messages,
				bos_token: bosToken,
				eos_token: eosToken,
				add_generation_prompt: addGenerationPrompt,
			}),
		);
	};
	return {
		source,
		assistantEnd: findAssistantEnd(render),
		render,
		renderNext(previous, next, options) {
			const whole = render([...previous, ...next], options);
			const read = render(previous, { ...options, addGenerationPrompt: false });
			const continues = whole.startsWith(read);
			return { text: continues ? whole.slice(read.length) : whole, continues };
		},
	};
}

/** Undefined when the file carries no template. */
export function chatTemplateFromGguf(
	metadata: ReadonlyMap<string, MetadataValue>,
	tokenizer: Tokenizer,
): ChatTemplate | undefined {
	const source = metadata.get("tokenizer.chat_template");
	return typeof source === "string" ? createChatTemplate(source, tokensOf(tokenizer)) : undefined;
}

/** chat_template.jinja, else `chat_template` of tokenizer_config.json. Undefined when there is neither. */
export async function chatTemplateFromFiles(
	readText: ReadText,
	tokenizer: Tokenizer,
): Promise<ChatTemplate | undefined> {
	const [file, fields] = await Promise.all([
		readText("chat_template.jinja"),
		readJson(readText, "tokenizer_config.json"),
	]);
	const source = file ?? defaultTemplate(fields?.chat_template);
	if (source === undefined) return undefined;
	const tokens = tokensOf(tokenizer);
	return createChatTemplate(source, {
		bosToken: asTokenText(fields?.bos_token) ?? tokens.bosToken,
		eosToken: asTokenText(fields?.eos_token) ?? tokens.eosToken,
	});
}

/** A text, or a list of named ones, of which the one named "default" is meant. */
function defaultTemplate(value: unknown): string | undefined {
	const list = asArray(value)?.map(asObject);
	if (list === undefined) return asString(value);
	const source = asString(list.find((entry) => entry?.name === "default")?.template);
	if (source !== undefined || list.length === 0) return source;
	const names = list.map((entry) => JSON.stringify(entry?.name)).join(", ");
	throw new TokError(
		"lm",
		`chat template: expected one named "default" in tokenizer_config.json, got ${names}.`,
	);
}

function tokensOf(tokenizer: Tokenizer): ChatTemplateTokens {
	const text = (id: number | undefined) => (id === undefined ? undefined : tokenizer.tokenText(id));
	return { bosToken: text(tokenizer.bosId), eosToken: text(tokenizer.eosId) };
}

function findAssistantEnd(render: ChatTemplate["render"]): string {
	const marker = "assistant-content";
	try {
		const text = render(
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
