/**
 * Ids to text as they come. A token may end inside a character: its bytes wait, at most three of them, until the
 * character is whole, so a stream without an end needs no more memory than one character. Bytes that are no UTF-8
 * become U+FFFD by the rules of the WHATWG Encoding Standard, the same as when all bytes are decoded at once.
 */
import type { TokenBytes } from "./token-bytes.ts";

export interface Detokenizer {
	/** The characters that this token completes; often "". Ids without a token add nothing. */
	push(id: number): string;
	/** What an unfinished character leaves: "" or U+FFFD. The next push goes on after it. */
	flush(): string;
}

export interface DetokenizerOptions {
	/** Leaves control tokens such as `<|im_end|>` out. Defaults to false. */
	readonly skipSpecialTokens?: boolean;
	/**
	 * The ids go on from earlier ones, so that a leading space is text. SentencePiece writes one before a text that
	 * has none; without this it is removed again. Defaults to false.
	 */
	readonly continued?: boolean;
}

export function createDetokenizer(
	bytes: TokenBytes,
	isSkipped: (id: number) => boolean,
	stripLeadingSpace: boolean,
): Detokenizer {
	// A byte order mark in the middle of a stream is a character like any other.
	const decoder = new TextDecoder("utf-8", { ignoreBOM: true });
	let atStart = stripLeadingSpace;
	const emit = (text: string): string => {
		if (!atStart || text === "") return text;
		atStart = false;
		return text.startsWith(" ") ? text.slice(1) : text;
	};
	return {
		push(id) {
			return isSkipped(id) ? "" : emit(decoder.decode(bytes.of(id), { stream: true }));
		},
		flush() {
			return emit(decoder.decode());
		},
	};
}
