import { expect, test } from "vitest";
import { encodeCut, startOfText } from "./question.ts";
import { recallingModel } from "./testing/recalling-model.ts";

const { tokenizer } = recallingModel();

test("a code is cut where the text before it ends, in the tokens of the whole", () => {
	// " 4" is one token, so the space before the code is the answer's.
	const { before, after } = encodeCut(tokenizer, "is ", "42.");
	expect([tokenizer.decode(before), tokenizer.decode(after)]).toEqual(["is", " 42."]);
	expect(after).toEqual([257 + 4, "2".charCodeAt(0), ".".charCodeAt(0)]);
});

test("a text that goes on in tokens of its own is cut at its end", () => {
	const { before, after } = encodeCut(tokenizer, "is <", "42>");
	expect([tokenizer.decode(before), tokenizer.decode(after)]).toEqual(["is <", "42>"]);
});

test("what the model wants before a text, and nothing after it", () => {
	expect(startOfText(tokenizer)).toEqual([256]);
	const bare = {
		...tokenizer,
		encode: (text: string) => tokenizer.encode(text, { addSpecialTokens: false }),
	};
	expect(startOfText(bare)).toEqual([]);
});
