/**
 * A question as tokens. A code is cut where a text in front of it ends, in the tokens of the whole: "is " and "48213"
 * encode to other ids alone than together in some vocabularies, and an answer can only be compared with what the model
 * would have to say at that place.
 */
import type { Tokenizer } from "@tok/lm";

export interface Cut {
	/** Ids of the text before the cut. */
	readonly before: readonly number[];
	/** Ids from the cut on; the first may hold the end of `before` where a token lies across it. */
	readonly after: readonly number[];
}

/** The ids of `before + after` without what a model wants around a text, cut where those of `before` alone end. */
export function encodeCut(tokenizer: Tokenizer, before: string, after: string): Cut {
	const alone = encode(tokenizer, before);
	const whole = encode(tokenizer, before + after);
	const differs = whole.findIndex((id, index) => id !== alone[index]);
	const cut = differs < 0 ? whole.length : differs;
	return { before: whole.slice(0, cut), after: whole.slice(cut) };
}

export function encode(tokenizer: Tokenizer, text: string): number[] {
	return tokenizer.encode(text, { addSpecialTokens: false });
}

/** The ids that the model wants before a text, such as bos; often none. */
export function startOfText(tokenizer: Tokenizer): number[] {
	const bare = encode(tokenizer, "\n");
	const dressed = tokenizer.encode("\n");
	const start = dressed.findIndex((_, index) => bare.every((id, place) => dressed[index + place] === id));
	return dressed.slice(0, Math.max(0, start));
}
