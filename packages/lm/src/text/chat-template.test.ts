import { TokError } from "@tok/runtime";
import { describe, expect, test } from "vitest";
import { byteLevelMetadata } from "../testing/tokenizer-metadata.ts";
import { type ChatTemplateTokens, chatTemplateFromGguf, createChatTemplate } from "./chat-template.ts";
import { chatTemplateFromFiles } from "./chat-template-files.ts";
import { tokenizerFromGguf } from "./tokenizer-gguf.ts";

const chatml =
	"{{ bos_token }}{% for message in messages %}{% if message.role == 'tool' %}{{ raise_exception('no tools here') }}{% endif %}" +
	"<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}" +
	"{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}";
const user = { role: "user", content: "Hi" };
const assistant = { role: "assistant", content: "Hello." };

async function prepared(source: string, tokens?: ChatTemplateTokens) {
	const template = createChatTemplate(source, tokens);
	await template.prepare();
	return template;
}

test("renders with the tokens, the prompt of the answer and further variables", async () => {
	const template = await prepared(`${chatml}{{ mood }}`, { bosToken: "<s>" });
	expect(template.render([user])).toBe("<s><|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n");
	expect(template.render([user], { addGenerationPrompt: false, extra: { mood: "!" } })).toBe(
		"<s><|im_start|>user\nHi<|im_end|>\n!",
	);
	expect(template.source).toBe(`${chatml}{{ mood }}`);
});

test("block tags leave no lines and no indentation, as in transformers", async () => {
	const source =
		"{% for message in messages %}\n  {% if true %}\n{{ message.content }}\n  {% endif %}\n{% endfor %}\n";
	expect((await prepared(source)).render([user, assistant])).toBe("Hi\nHello.\n");
});

describe("a running conversation", () => {
	test("only the new turns are rendered", async () => {
		const template = await prepared(chatml);
		const next = template.renderNext([user, assistant], [user]);
		expect(next).toEqual({
			text: "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n",
			continues: true,
		});
		const before = template.render([user, assistant], { addGenerationPrompt: false });
		expect(before + next.text).toBe(template.render([user, assistant, user]));
		expect(template.renderNext([], [user]).text).toBe(template.render([user]));
		expect(template.assistantEnd).toBe("<|im_end|>\n");
	});

	test("a template that rewrites earlier turns says so and gives the whole", async () => {
		const onlyLast = await prepared("{{ messages | length }}:{{ messages[-1].content }}");
		expect(onlyLast.renderNext([user], [assistant])).toEqual({ text: "2:Hello.", continues: false });
	});

	test("a template that refuses a plain conversation shows no end of the assistant's turn", async () => {
		expect((await prepared("{{ raise_exception('no') }}")).assistantEnd).toBe("");
		expect((await prepared("{{ messages[0].content }}")).assistantEnd).toBe("");
	});
});

test("what a template refuses, and a template that is none, are errors in its own words", async () => {
	const template = await prepared(chatml);
	expect(() => template.render([{ role: "tool", content: "" }])).toThrow(
		/refuses these messages; it said: no tools here/,
	);
	expect(() => template.render([{ role: "tool", content: "" }])).toThrow(TokError);
	await expect(prepared("{% for %}")).rejects.toThrow(/\[tok\/lm\] chat template: expected a Jinja template/);
});

test("one that is yet to be prepared has its source, and says what to do", async () => {
	const template = createChatTemplate(chatml);
	expect(template.source).toBe(chatml);
	const unprepared =
		"[tok/lm] chat template: expected one that is prepared, as the model was loaded with prepareChat: false.";
	expect(() => template.render([user])).toThrow(unprepared);
	expect(() => template.renderNext([], [user])).toThrow(unprepared);
	expect(() => template.assistantEnd).toThrow(unprepared);
	await template.prepare();
	await template.prepare();
	expect(template.assistantEnd).toBe("<|im_end|>\n");
});

describe("where templates come from", () => {
	const metadata = byteLevelMetadata("gpt-2", []);
	const tokenizer = tokenizerFromGguf(metadata);
	const from = (files: Record<string, string>) =>
		chatTemplateFromFiles(async (name) => files[name], tokenizer);

	test("GGUF", async () => {
		expect(chatTemplateFromGguf(metadata, tokenizer)).toBeUndefined();
		const withTemplate = new Map(metadata).set("tokenizer.chat_template", "{{ eos_token }}");
		const template = chatTemplateFromGguf(withTemplate, tokenizer);
		await template?.prepare();
		expect(template?.render([])).toBe("<|end|>");
	});

	test("files: chat_template.jinja, then tokenizer_config.json, as a text or a list of named ones", async () => {
		const config = (chat_template: unknown) =>
			JSON.stringify({ chat_template, bos_token: { content: "<b>" } });
		expect(await from({})).toBeUndefined();
		const template = await from({ "tokenizer_config.json": config("{{ bos_token }}{{ eos_token }}") });
		await template?.prepare();
		expect(template?.render([])).toBe("<b><|end|>");
		const both = { "chat_template.jinja": "file", "tokenizer_config.json": config("config") };
		expect((await from(both))?.source).toBe("file");
		const list = [
			{ name: "tool_use", template: "t" },
			{ name: "default", template: "d" },
		];
		expect((await from({ "tokenizer_config.json": config(list) }))?.source).toBe("d");
		await expect(from({ "tokenizer_config.json": config(list.slice(0, 1)) })).rejects.toThrow(
			/one named "default".*"tool_use"/,
		);
		await expect(from({ "tokenizer_config.json": "{" })).rejects.toThrow(TokError);
	});
});
