/**
 * Text to ids and back. Texts of any length encode in linear time and, by `encodeChunks`, in pieces; ids decode whole
 * or as they come. Made by `tokenizerFromGguf` and `tokenizerFromFiles`.
 */
import { TokError } from "@tok/runtime";
import { AddedTokens } from "./added-tokens.ts";
import { createDetokenizer, type Detokenizer, type DetokenizerOptions } from "./detokenizer.ts";
import { TokenBytes } from "./token-bytes.ts";
import type { TokenizerDefinition } from "./tokenizer-definition.ts";
import { WordEncoder } from "./word-encoder.ts";

export interface EncodeOptions {
	/** Adds the ids that the model wants before and after a text, such as bos; often there are none. Defaults to true. */
	readonly addSpecialTokens?: boolean;
	/**
	 * Reads `<|im_start|>` and the like in the text as the control token. Only for text that a chat template rendered:
	 * in a stranger's text it would let the stranger end a turn and speak for the system. Defaults to false: such text
	 * stays text. Added tokens that are not control tokens are found either way.
	 */
	readonly parseSpecial?: boolean;
}

export interface DecodeOptions {
	/** Leaves control tokens out. Defaults to false. */
	readonly skipSpecialTokens?: boolean;
}

export interface Tokenizer {
	/** One more than the highest id. A model's logits may be padded to more. */
	readonly vocabularySize: number;
	readonly bosId: number | undefined;
	readonly eosId: number | undefined;
	/** Every id that ends generation: end of text, end of turn, end of message. */
	readonly endOfTextIds: ReadonlySet<number>;
	/**
	 * Lone surrogates are read as U+FFFD. What the vocabulary has neither a token nor bytes for is dropped, or becomes
	 * the unknown token where there is one (SmolLM2 lacks six control characters and the unassigned planes).
	 */
	encode(text: string, options?: EncodeOptions): number[];
	/** The ids of `encode`, in pieces, for texts of many megabytes. */
	encodeChunks(text: string, options?: EncodeOptions): Generator<number[]>;
	/**
	 * Bytes that are no UTF-8 become U+FFFD; ids without a token add nothing. Spaces are left as they are: there is no
	 * `clean_up_tokenization_spaces`, which could not be undone. Throws for what is not a whole number ≥ 0.
	 */
	decode(ids: ArrayLike<number>, options?: DecodeOptions): string;
	/** Decodes ids as they come; all texts together are those of `decode`. */
	createDetokenizer(options?: DetokenizerOptions): Detokenizer;
	/** What a token adds in the middle of a text, an unfinished character as U+FFFD. */
	tokenText(id: number): string;
	/** The bytes that a token adds in the middle of a text; empty for an id without a token. */
	tokenBytes(id: number): Uint8Array;
	/** The id of a token as the vocabulary spells it, such as "<|im_end|>". */
	tokenId(token: string): number | undefined;
	isSpecial(id: number): boolean;
}

export function createTokenizer(definition: TokenizerDefinition): Tokenizer {
	return new BpeTokenizer(definition);
}

class BpeTokenizer implements Tokenizer {
	readonly vocabularySize: number;
	readonly bosId: number | undefined;
	readonly eosId: number | undefined;
	readonly endOfTextIds: ReadonlySet<number>;
	readonly #definition: TokenizerDefinition;
	readonly #words: WordEncoder;
	readonly #allAdded: AddedTokens;
	readonly #plainAdded: AddedTokens;
	readonly #specialIds: ReadonlySet<number>;
	readonly #ids: ReadonlyMap<string, number>;
	readonly #bytes: TokenBytes;

	constructor(definition: TokenizerDefinition) {
		this.#definition = definition;
		this.vocabularySize = definition.tokens.length;
		this.bosId = definition.bosId;
		this.eosId = definition.eosId;
		this.endOfTextIds = definition.endOfTextIds;
		const { addedTokens } = definition;
		this.#words = new WordEncoder(definition);
		this.#allAdded = new AddedTokens(addedTokens);
		this.#plainAdded = new AddedTokens(addedTokens.filter((token) => !token.special));
		this.#specialIds = new Set(addedTokens.filter((token) => token.special).map((token) => token.id));
		this.#ids = new Map(definition.tokens.flatMap((token, id) => (token === undefined ? [] : [[token, id]])));
		this.#bytes = new TokenBytes(definition);
	}

	encode(text: string, options?: EncodeOptions): number[] {
		const ids: number[] = [];
		for (const chunk of this.encodeChunks(text, options)) {
			for (const id of chunk) ids.push(id);
		}
		return ids;
	}

	*encodeChunks(text: string, options: EncodeOptions = {}): Generator<number[]> {
		const { addSpecialTokens = true, parseSpecial = false } = options;
		const { prefixIds, suffixIds } = this.#definition;
		if (addSpecialTokens && prefixIds.length > 0) yield [...prefixIds];
		let first = true;
		for (const section of (parseSpecial ? this.#allAdded : this.#plainAdded).split(wellFormed(text))) {
			if (typeof section === "number") yield [section];
			else yield* this.#words.encode(section, first);
			first = false;
		}
		if (addSpecialTokens && suffixIds.length > 0) yield [...suffixIds];
	}

	decode(ids: ArrayLike<number>, options: DecodeOptions = {}): string {
		const { skipSpecialTokens = false } = options;
		const parts: Uint8Array[] = [];
		let length = 0;
		for (let index = 0; index < ids.length; index++) {
			const id = checkId(ids[index]);
			if (skipSpecialTokens && this.#specialIds.has(id)) continue;
			const part = this.#bytes.of(id);
			parts.push(part);
			length += part.length;
		}
		const bytes = new Uint8Array(length);
		let at = 0;
		for (const part of parts) {
			bytes.set(part, at);
			at += part.length;
		}
		const text = new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);
		return this.#definition.stripLeadingSpace && text.startsWith(" ") ? text.slice(1) : text;
	}

	createDetokenizer(options: DetokenizerOptions = {}): Detokenizer {
		const { skipSpecialTokens = false, continued = false } = options;
		const isSkipped = (id: number) => this.#specialIds.has(checkId(id)) && skipSpecialTokens;
		return createDetokenizer(this.#bytes, isSkipped, this.#definition.stripLeadingSpace && !continued);
	}

	tokenText(id: number): string {
		return new TextDecoder("utf-8", { ignoreBOM: true }).decode(this.tokenBytes(id));
	}

	tokenBytes(id: number): Uint8Array {
		return this.#bytes.of(checkId(id)).slice();
	}

	tokenId(token: string): number | undefined {
		return this.#ids.get(token);
	}

	isSpecial(id: number): boolean {
		return this.#specialIds.has(id);
	}
}

function checkId(id: number | undefined): number {
	if (id !== undefined && Number.isInteger(id) && id >= 0) return id;
	throw new TokError("lm", `tokenizer: expected token ids that are whole numbers ≥ 0, got ${id}.`);
}

const loneSurrogate = /\p{Surrogate}/gu;

function wellFormed(text: string): string {
	return text.replace(loneSurrogate, "\ufffd");
}
