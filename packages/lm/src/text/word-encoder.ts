/**
 * From a section of text without added tokens to ids: normalise, cut into words, merge each word, remember words.
 * The engine is Hugging Face's `@huggingface/tokenizers`; its BPE takes microseconds a word, and text repeats its
 * words, so a bounded memory of words makes long texts about ten times faster. Long texts go through in pieces that
 * are cut only where no word and no merge reaches across, so the ids are those of the whole text.
 */
import { BPE, SequenceNormalizer, SequencePreTokenizer } from "@huggingface/tokenizers";
import { toByteAlphabet } from "./byte-alphabet.ts";
import { cutsBetweenWords } from "./split-patterns.ts";
import { sentencePieceSpace, type TokenizerDefinition } from "./tokenizer-definition.ts";

const rememberedWords = 65_536;
const longestRememberedWord = 64;

/** A letter before a single space before a letter; see `cutsBetweenWords`. */
const betweenWords = /\p{L}(?= \p{L})/gu;

export class WordEncoder {
	readonly #definition: TokenizerDefinition;
	readonly #normalizer: SequenceNormalizer | undefined;
	readonly #bpe: BPE;
	/** The words of a normalised text. */
	readonly #words: (piece: string) => readonly string[];
	readonly #pieceLength: number;
	/** Matches the character before a place where a text may be cut. Undefined: nowhere. */
	readonly #cut: RegExp | undefined;
	readonly #specialIds: ReadonlySet<number>;
	readonly #unknownId: number | undefined;
	readonly #remembered: Map<string, readonly number[]> = new Map();

	/** `pieceLength`: UTF-16 units after which a piece ends at the next place where a cut is allowed. */
	constructor(definition: TokenizerDefinition, pieceLength = 65_536) {
		this.#definition = definition;
		this.#pieceLength = pieceLength;
		const { normalizers, words } = definition;
		this.#normalizer =
			normalizers.length > 0 ? new SequenceNormalizer({ type: "Sequence", normalizers }) : undefined;
		this.#bpe = new BPE({
			type: "BPE",
			vocab: definition.vocabulary,
			merges: definition.merges,
			byte_fallback: definition.byteFallback,
			unk_token: definition.unknownToken ?? null,
			ignore_merges: false,
		});
		this.#specialIds = new Set(
			definition.addedTokens.filter((token) => token.special).map((token) => token.id),
		);
		this.#unknownId =
			definition.unknownToken === undefined
				? undefined
				: this.#bpe.tokens_to_ids.get(definition.unknownToken);
		if (words.kind === "byte-level") {
			const splitter = new SequencePreTokenizer({
				type: "Sequence",
				pretokenizers: words.splits.map(({ pattern, matchesOnly }) => ({
					type: "Split",
					pattern: { Regex: pattern },
					behavior: matchesOnly ? "Removed" : "Isolated",
					invert: matchesOnly,
				})),
			});
			this.#words = (piece) => splitter.pre_tokenize(piece);
			this.#cut = cutsBetweenWords(words.splits) ? betweenWords : undefined;
		} else {
			const joined = charactersBeforeSpace(definition);
			if (joined === undefined) {
				this.#words = (piece) => [piece];
			} else {
				const boundary = new RegExp(`(?<=[^${joined}])(?=${sentencePieceSpace})`, "u");
				this.#words = (piece) => piece.split(boundary);
				this.#cut = new RegExp(`[^${joined}](?=${sentencePieceSpace})`, "gu");
			}
		}
	}

	/** Ids of a section, piece by piece. `first`: nothing of the text comes before it. */
	*encode(section: string, first: boolean): Generator<number[]> {
		for (const piece of this.#pieces(this.#prepare(section, first))) {
			const ids: number[] = [];
			for (const word of this.#words(piece)) {
				for (const id of this.#wordIds(word)) ids.push(id);
			}
			yield ids;
		}
	}

	/** The words of a section, as they are merged. */
	words(section: string, first: boolean): readonly string[] {
		return this.#words(this.#prepare(section, first));
	}

	#prepare(section: string, first: boolean): string {
		const { words } = this.#definition;
		let text = this.#normalizer?.normalize(section) ?? section;
		if (words.kind === "byte-level") return words.addPrefixSpace && !text.startsWith(" ") ? ` ${text}` : text;
		text = text.replaceAll(" ", sentencePieceSpace);
		const prefixed = words.prefix === "always" || (words.prefix === "first" && first);
		return prefixed && !text.startsWith(sentencePieceSpace) ? sentencePieceSpace + text : text;
	}

	*#pieces(text: string): Generator<string> {
		let start = 0;
		while (this.#cut !== undefined && text.length - start > this.#pieceLength) {
			this.#cut.lastIndex = start + this.#pieceLength;
			const match = this.#cut.exec(text);
			if (match === null) break;
			const end = match.index + match[0].length;
			yield text.slice(start, end);
			start = end;
		}
		if (start < text.length) yield text.slice(start);
	}

	#wordIds(word: string): readonly number[] {
		const remembered = this.#remembered.get(word);
		if (remembered !== undefined) return remembered;
		const ids = this.#mergeWord(this.#definition.words.kind === "byte-level" ? toByteAlphabet(word) : word);
		if (word.length <= longestRememberedWord) {
			if (this.#remembered.size === rememberedWords) this.#remembered.clear();
			this.#remembered.set(word, ids);
		}
		return ids;
	}

	#mergeWord(word: string): number[] {
		const { ignoreMerges, fuseUnknown } = this.#definition;
		const vocabulary = this.#bpe.tokens_to_ids;
		if (ignoreMerges) {
			const id = vocabulary.get(word);
			if (id !== undefined && !this.#specialIds.has(id)) return [id];
		}
		const ids: number[] = [];
		for (const token of this.#bpe.encode([word])) {
			const id = vocabulary.get(token);
			if (id === undefined) continue;
			if (fuseUnknown && id === this.#unknownId && ids.at(-1) === id) continue;
			ids.push(id);
		}
		return ids;
	}
}

/**
 * The characters that some merge joins with a ▁ after it, as the inside of a character class. Between any other
 * character and a ▁ no merge ever reaches across, so both sides are merged on their own. Undefined when ▁ itself may
 * be an unknown character, whose run could reach across.
 */
function charactersBeforeSpace({ merges, vocabulary }: TokenizerDefinition): string | undefined {
	if (!Object.hasOwn(vocabulary, sentencePieceSpace)) return undefined;
	const found = new Set<number>([0xfffd]);
	for (const [left, right] of merges) {
		const merged = left + right;
		let at = merged.indexOf(sentencePieceSpace, 1);
		for (; at !== -1; at = merged.indexOf(sentencePieceSpace, at + 1)) {
			// A second half of a surrogate pair is reached through the first.
			const before = merged.codePointAt(at - 1) ?? 0;
			const isLowHalf = before >= 0xdc00 && before <= 0xdfff && at > 1;
			found.add(isLowHalf ? (merged.codePointAt(at - 2) ?? 0) : before);
		}
	}
	return [...found].map((codePoint) => `\\u{${codePoint.toString(16)}}`).join("");
}
