import type { ChatTemplate } from "@tok/lm";
import { expect, test } from "vitest";
import { turnTexts } from "./turn-texts.ts";

type Render = ChatTemplate["render"];

const hasDefaultSystem: Render = (messages, { addGenerationPrompt = true } = {}) =>
	(messages[0]?.role === "system" ? "" : "<system>Be nice</>\n") +
	messages.map(({ role, content }) => `<${role}>${content}</>\n`).join("") +
	(addGenerationPrompt ? "<assistant>" : "");

/** The system message lies inside the first user's turn; answers open without a word. */
const foldsSystem: Render = (messages) => {
	const system = messages[0]?.role === "system" ? `${messages[0].content}\n` : "";
	const turns = system === "" ? messages : messages.slice(1);
	return turns
		.map(({ role, content }, index) =>
			role === "user" ? `<s>[${index === 0 ? system : ""}${content}]` : ` ${content} </s>`,
		)
		.join("");
};

/** The last answer is written otherwise than earlier ones, as templates that drop reasoning do. */
const rewrites: Render = (messages, { addGenerationPrompt = true } = {}) =>
	messages
		.map(({ role, content }, index) =>
			role === "assistant" && index === messages.length - 1
				? `<${role}>(hm)${content}</>`
				: `<${role}>${content}</>`,
		)
		.join("") + (addGenerationPrompt ? "<assistant>" : "");

function template(render: Render, assistantEnd: string): ChatTemplate {
	return {
		source: "",
		assistantEnd,
		prepare: async () => {},
		render,
		renderNext: () => ({ text: "", continues: false }),
	};
}

test.each<[string, ChatTemplate, string | undefined, string, string, string]>([
	[
		"default system",
		template(hasDefaultSystem, "</>\n"),
		undefined,
		"<system>Be nice</>\n",
		"<user>Hi</>\n<assistant>",
		"<user>Hi</>\n<assistant>",
	],
	[
		"own system",
		template(hasDefaultSystem, "</>\n"),
		"Be brief",
		"<system>Be brief</>\n",
		"<user>Hi</>\n<assistant>",
		"<user>Hi</>\n<assistant>",
	],
	["no system", template(foldsSystem, " </s>"), undefined, "", "<s>[Hi]", "<s>[Hi]"],
	[
		"system inside the first turn",
		template(foldsSystem, " </s>"),
		"Be brief",
		"<s>[Be brief\n",
		"Hi]",
		"<s>[Hi]",
	],
	[
		"earlier answers rewritten",
		template(rewrites, "</>"),
		undefined,
		"",
		"<user>Hi</><assistant>",
		"<user>Hi</><assistant>",
	],
])("%s", (_, chatTemplate, system, opening, first, later) => {
	const texts = turnTexts(chatTemplate, system);
	expect([texts.opening, texts.firstTurn("Hi"), texts.userTurn("Hi")]).toEqual([opening, first, later]);
	expect(texts.answerEnd).toBe(chatTemplate.assistantEnd);
});

test("the pieces of a conversation are the whole of it", () => {
	const texts = turnTexts(template(hasDefaultSystem, "</>\n"), undefined);
	const pieces = `${texts.opening}${texts.firstTurn("a")}b${texts.answerEnd}${texts.userTurn("c")}`;
	const [a, b, c] = [
		{ role: "user", content: "a" },
		{ role: "assistant", content: "b" },
		{ role: "user", content: "c" },
	] as const;
	expect(pieces).toBe(hasDefaultSystem([a, b, c]));
});

test("a template that leaves answers out is refused", () => {
	const render: Render = (messages) =>
		messages
			.filter(({ role }) => role === "user")
			.map(({ content }) => content)
			.join();
	expect(() => turnTexts(template(render, ""), undefined)).toThrow("leaves answers out");
});
