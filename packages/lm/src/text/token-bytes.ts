/**
 * The bytes that each id adds to a text: one blob and its offsets, a few megabytes for the largest vocabularies.
 * Byte-level tokens spell their bytes in GPT-2's alphabet; SentencePiece's are text with ▁ for a space, or one byte
 * as `<0x0A>`; added tokens are their text.
 */
import { fromByteAlphabet } from "./byte-alphabet.ts";
import { sentencePieceSpace, type TokenizerDefinition } from "./tokenizer-definition.ts";

const utf8 = new TextEncoder();
const byteToken = /^<0x([0-9A-Fa-f]{2})>$/;

export class TokenBytes {
	readonly #blob: Uint8Array;
	/** [tokens + 1] */
	readonly #offsets: Uint32Array;

	constructor(definition: TokenizerDefinition) {
		const added = new Set(definition.addedTokens.map((token) => token.id));
		const parts = definition.tokens.map((token, id) =>
			token === undefined ? new Uint8Array(0) : bytesOf(token, added.has(id), definition),
		);
		this.#offsets = new Uint32Array(parts.length + 1);
		for (const [id, part] of parts.entries()) this.#offsets[id + 1] = (this.#offsets[id] ?? 0) + part.length;
		this.#blob = new Uint8Array(this.#offsets[parts.length] ?? 0);
		for (const [id, part] of parts.entries()) this.#blob.set(part, this.#offsets[id] ?? 0);
	}

	/** A view, not to be written to; empty for an id without a token, as padded vocabularies have. */
	of(id: number): Uint8Array {
		return this.#blob.subarray(this.#offsets[id] ?? 0, this.#offsets[id + 1] ?? 0);
	}
}

function bytesOf(token: string, added: boolean, { words, byteFallback }: TokenizerDefinition): Uint8Array {
	if (words.kind === "byte-level") {
		// A token outside the alphabet was put into the vocabulary as plain text.
		return (added ? undefined : fromByteAlphabet(token)) ?? utf8.encode(token);
	}
	const hexadecimal = byteFallback ? byteToken.exec(token)?.[1] : undefined;
	if (hexadecimal !== undefined) return Uint8Array.of(Number.parseInt(hexadecimal, 16));
	return utf8.encode(token.replaceAll(sentencePieceSpace, " "));
}
