/**
 * Tokens that are found in the text itself before anything else happens to it: control tokens such as `<|im_end|>`,
 * and tokens that a user added to a vocabulary. The leftmost one wins, and the longest at that place, as in Hugging
 * Face's `tokenizers`. They are matched in the text as it came, before any normalisation.
 */

export interface AddedToken {
	readonly id: number;
	readonly text: string;
	/** A control token: found only when the caller trusts the text, and left out by `skipSpecialTokens`. */
	readonly special: boolean;
	/** Takes the white space before it along. */
	readonly leftStrip: boolean;
	/** Takes the white space after it along. */
	readonly rightStrip: boolean;
	/** Found only where it does not touch a letter, digit or underscore. */
	readonly singleWord: boolean;
}

/** A pattern, outside of character classes, that matches the text itself. */
export const literalPattern = (text: string): string => text.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&");

const wordBefore = /[\p{L}\p{N}_]$/u;
const wordAfter = /^[\p{L}\p{N}_]/u;

export class AddedTokens {
	readonly #byText: ReadonlyMap<string, AddedToken>;
	readonly #pattern: RegExp | undefined;

	constructor(tokens: readonly AddedToken[]) {
		this.#byText = new Map(tokens.filter((token) => token.text !== "").map((token) => [token.text, token]));
		const longestFirst = [...this.#byText.keys()].sort((a, b) => b.length - a.length);
		this.#pattern =
			longestFirst.length > 0 ? new RegExp(longestFirst.map(literalPattern).join("|"), "g") : undefined;
	}

	/** Sections of text and the ids between them, in order. */
	*split(text: string): Generator<string | number> {
		let start = 0;
		for (const match of this.#pattern === undefined ? [] : text.matchAll(this.#pattern)) {
			const token = this.#byText.get(match[0]);
			if (token === undefined) continue;
			let end = match.index + token.text.length;
			if (token.singleWord && touchesWord(text, match.index, end)) continue;
			let before = text.slice(start, match.index);
			if (token.leftStrip) before = before.trimEnd();
			if (before !== "") yield before;
			yield token.id;
			if (token.rightStrip) while (end < text.length && text[end]?.trim() === "") end++;
			start = end;
		}
		if (start < text.length) yield start === 0 ? text : text.slice(start);
	}
}

function touchesWord(text: string, start: number, end: number): boolean {
	return (
		wordBefore.test(text.slice(Math.max(0, start - 2), start)) || wordAfter.test(text.slice(end, end + 2))
	);
}
