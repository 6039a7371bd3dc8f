import { expect, test } from "vitest";
import { type AddedToken, AddedTokens } from "./added-tokens.ts";

const token = (id: number, text: string, options: Partial<AddedToken> = {}): AddedToken => ({
	id,
	text,
	special: true,
	leftStrip: false,
	rightStrip: false,
	singleWord: false,
	...options,
});

test("the leftmost token wins, and the longest at that place; the text between stays", () => {
	const tokens = new AddedTokens([token(1, "<|a|>"), token(2, "<|a|>x"), token(3, "a|>"), token(4, "(.*)$")]);
	expect([...tokens.split("1<|a|>x<|a|>2a|>(.*)$<|a|")]).toEqual(["1", 2, 1, "2", 3, 4, "<|a|"]);
	expect([...tokens.split("")]).toEqual([]);
	expect([...tokens.split("<|a|>")]).toEqual([1]);
	expect([...new AddedTokens([]).split("text")]).toEqual(["text"]);
});

test("white space beside a token goes with it where the token says so", () => {
	const tokens = new AddedTokens([
		token(1, "<l>", { leftStrip: true }),
		token(2, "<r>", { rightStrip: true }),
	]);
	expect([...tokens.split("a \n<l> b")]).toEqual(["a", 1, " b"]);
	expect([...tokens.split("a <r> \n\tb")]).toEqual(["a ", 2, "b"]);
	expect([...tokens.split(" <l> <r> ")]).toEqual([1, " ", 2]);
});

test("single words are found on their own only", () => {
	const tokens = new AddedTokens([token(1, "cat", { singleWord: true })]);
	expect([...tokens.split("cat concat cats (cat) 𝒳cat")]).toEqual([1, " concat cats (", 1, ") 𝒳cat"]);
});
