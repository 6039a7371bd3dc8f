/** The chat template of a folder in transformers' layout. */
import { TokError } from "@tok/runtime";
import { type ChatTemplate, createChatTemplate, tokensOf } from "./chat-template.ts";
import { asArray, asObject, asString, asTokenText, type ReadText, readJson } from "./json-fields.ts";
import type { Tokenizer } from "./tokenizer.ts";

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
