/** What the page believes of a file's notes. */
import { expect, test } from "vitest";
import { chatNotes } from "./chat-notes.ts";

const turn = { who: "you", text: "Hello", end: 12 };
const nothing = { system: "", starts: [], turns: [] };

test("notes come back as they were written", () => {
	const notes = {
		system: "Be brief.",
		starts: [3, 40],
		turns: [turn, { who: "model", text: "Hi", end: 20, note: "Stopped." }],
	};
	expect(chatNotes(JSON.parse(JSON.stringify(notes)))).toEqual(notes);
});

test.each([
	undefined,
	null,
	7,
	"notes",
	[turn],
	{ system: 7, starts: "0", turns: {} },
	{ starts: [1, "2"], turns: [turn, null] },
	{ turns: [{ ...turn, who: "system" }] },
	{ turns: [{ ...turn, text: ["<b>"] }] },
	{ turns: [{ ...turn, end: 0.5 }] },
	{ turns: [{ ...turn, note: 1 }] },
])("of anything else nothing is taken: %j", (data) => {
	expect(chatNotes(data)).toEqual(nothing);
});
