/**
 * What a BPE tokenizer is made of, whichever file it came from: `tokenizer-files.ts` and `tokenizer-gguf.ts` write
 * one, `tokenizer.ts` works by it. Byte-level BPE (GPT-2 and after) cuts text into words by regular expressions and
 * merges bytes; SentencePiece's BPE turns spaces into ▁ and merges characters of the whole text.
 */
import type { SequenceNormalizer } from "@huggingface/tokenizers";
import type { AddedToken } from "./added-tokens.ts";

export interface TokenizerDefinition {
	/** Text of each id as the vocabulary spells it; undefined for an id without a token. */
	readonly tokens: readonly (string | undefined)[];
	readonly addedTokens: readonly AddedToken[];
	readonly vocabulary: Readonly<Record<string, number>>;
	/** Best first. */
	readonly merges: [string, string][];
	/** A word that is a token is that token, whatever the merges would make of it. */
	readonly ignoreMerges: boolean;
	/** Characters outside the vocabulary become `<0x0A>`-like tokens. */
	readonly byteFallback: boolean;
	/** Stands for what has no token; undefined drops it. */
	readonly unknownToken: string | undefined;
	/** One unknown token for a run of unknown characters. */
	readonly fuseUnknown: boolean;
	readonly normalizers: ConstructorParameters<typeof SequenceNormalizer>[0]["normalizers"];
	readonly words: ByteLevelWords | SentencePieceWords;
	/** SentencePiece: the first space of a decoded text was not in the text. */
	readonly stripLeadingSpace: boolean;
	/** Ids that the model wants before and after a text. */
	readonly prefixIds: readonly number[];
	readonly suffixIds: readonly number[];
	readonly bosId: number | undefined;
	readonly eosId: number | undefined;
	readonly endOfTextIds: ReadonlySet<number>;
}

export interface ByteLevelWords {
	readonly kind: "byte-level";
	/** Applied one after the other: each cuts what the ones before it left into its matches and what lies between. */
	readonly splits: readonly Split[];
	/** A section of text that does not begin with a space gets one. */
	readonly addPrefixSpace: boolean;
}

export interface Split {
	/** Oniguruma's syntax, as tokenizer.json has it. */
	readonly pattern: string;
	/** Drop what lies between the matches. */
	readonly matchesOnly: boolean;
}

export interface SentencePieceWords {
	readonly kind: "sentencepiece";
	/** Which sections of text get a ▁ before them, unless they begin with one. Normalisers may add their own. */
	readonly prefix: "always" | "first" | "never";
}

/** SentencePiece's space, U+2581. */
export const sentencePieceSpace = "▁";
