/**
 * A tokenizer from the metadata of a GGUF file (`tokenizer.ggml.*`, ggml's `docs/gguf.md`), read as llama.cpp reads it:
 * `gpt2` is byte-level BPE with listed merges, `llama` is SentencePiece's BPE, whose merges follow from the scores
 * (as in transformers' `SentencePieceExtractor`). Any other model, and any unknown way of cutting words, is refused.
 */
import { TokError } from "@tok/runtime";
import type { MetadataValue } from "../formats/tensor-file.ts";
import type { AddedToken } from "./added-tokens.ts";
import { endOfTextIds } from "./end-of-text.ts";
import { preTokenizers } from "./split-patterns.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import { sentencePieceSpace, type TokenizerDefinition } from "./tokenizer-definition.ts";

type Metadata = ReadonlyMap<string, MetadataValue>;

/** Values of `tokenizer.ggml.token_type`. */
const tokenType = { normal: 1, unknown: 2, control: 3, userDefined: 4, byte: 6 } as const;

/** Throws a TokError that names the key for metadata that is missing, damaged or not supported. */
export function tokenizerFromGguf(metadata: Metadata): Tokenizer {
	return createTokenizer(definitionFromGguf(metadata));
}

function definitionFromGguf(metadata: Metadata): TokenizerDefinition {
	const model = metadata.get("tokenizer.ggml.model");
	if (model === "gpt2") return byteLevelDefinition(metadata);
	if (model === "llama") return sentencePieceDefinition(metadata);
	throw new TokError(
		"lm",
		`tokenizer.ggml.model: expected "gpt2" or "llama", got ${describe(model)}. ` +
			"Load the model from a folder with its tokenizer.json instead.",
	);
}

function byteLevelDefinition(metadata: Metadata): TokenizerDefinition {
	const name = metadata.get("tokenizer.ggml.pre");
	const facts = typeof name === "string" ? preTokenizers.get(name) : undefined;
	if (facts === undefined) {
		throw new TokError(
			"lm",
			`tokenizer.ggml.pre: expected one of ${[...preTokenizers.keys()].join(", ")}, got ${describe(name)}. ` +
				"Load the model from a folder with its tokenizer.json instead.",
		);
	}
	const { splits, ignoreMerges, addBos } = facts;
	const vocabulary = readVocabulary(metadata, addBos);
	return {
		...vocabulary,
		merges: strings(metadata, "tokenizer.ggml.merges").map(mergePair),
		ignoreMerges,
		byteFallback: false,
		unknownToken: undefined,
		fuseUnknown: false,
		normalizers: [],
		words: { kind: "byte-level", splits, addPrefixSpace: false },
		stripLeadingSpace: false,
	};
}

function sentencePieceDefinition(metadata: Metadata): TokenizerDefinition {
	const vocabulary = readVocabulary(metadata, true);
	const { tokens, types } = vocabulary;
	const addSpacePrefix = metadata.get("tokenizer.ggml.add_space_prefix") !== false;
	const unknownId = tokenId(metadata, "unknown", tokens.length) ?? types.indexOf(tokenType.unknown);
	return {
		...vocabulary,
		merges: mergesFromScores(tokens, types, numbers(metadata, "tokenizer.ggml.scores", tokens.length)),
		ignoreMerges: false,
		byteFallback: types.includes(tokenType.byte),
		unknownToken: tokens[unknownId],
		fuseUnknown: true,
		normalizers: addSpacePrefix ? [{ type: "Prepend", prepend: sentencePieceSpace }] : [],
		words: { kind: "sentencepiece", prefix: "never" },
		stripLeadingSpace: addSpacePrefix,
	};
}

function readVocabulary(metadata: Metadata, defaultAddBos: boolean) {
	const tokens = strings(metadata, "tokenizer.ggml.tokens");
	const types = metadata.has("tokenizer.ggml.token_type")
		? numbers(metadata, "tokenizer.ggml.token_type", tokens.length)
		: new Array<number>(tokens.length).fill(tokenType.normal);
	const addedTokens = addedTokensOf(metadata, tokens, types);
	const id = (name: string) => tokenId(metadata, name, tokens.length);
	const bosId = id("bos");
	const eosId = id("eos");
	const flag = (name: string, otherwise: boolean): boolean => {
		const value = metadata.get(`tokenizer.ggml.${name}`);
		return typeof value === "boolean" ? value : otherwise;
	};
	return {
		tokens,
		types,
		addedTokens,
		vocabulary: Object.fromEntries(tokens.map((token, index) => [token, index])),
		bosId,
		eosId,
		endOfTextIds: endOfTextIds([eosId, id("eot"), id("eom")], addedTokens),
		prefixIds: bosId !== undefined && flag("add_bos_token", defaultAddBos) ? [bosId] : [],
		suffixIds: eosId !== undefined && flag("add_eos_token", false) ? [eosId] : [],
	};
}

function addedTokensOf(
	metadata: Metadata,
	tokens: readonly string[],
	types: readonly number[],
): AddedToken[] {
	// GGUF does not carry this property of Phi-3's control tokens; llama.cpp knows it by the model's name, too.
	const isPhi3 = /phi-?3/i.test(String(metadata.get("general.name") ?? ""));
	const neverStrip = new Set(["<unk>", "<s>", "<|endoftext|>"]);
	return tokens.flatMap((text, id) => {
		const type = types[id];
		const special = type === tokenType.control || type === tokenType.unknown;
		if (!special && type !== tokenType.userDefined) return [];
		return [
			{ id, text, special, leftStrip: false, rightStrip: isPhi3 && !neverStrip.has(text), singleWord: false },
		];
	});
}

/**
 * Every way to put a token together from two shorter ones: tokens with the highest score first, and of one token's ways
 * the longest left part first.
 */
function mergesFromScores(
	tokens: readonly string[],
	types: readonly number[],
	scores: readonly number[],
): [string, string][] {
	const ids = [...tokens.keys()].filter((id) => types[id] === tokenType.normal);
	ids.sort((a, b) => (scores[b] ?? 0) - (scores[a] ?? 0));
	const normal = new Set(ids.map((id) => tokens[id]));
	const isCharacter = (part: string) => part.length === ((part.codePointAt(0) ?? 0) > 0xffff ? 2 : 1);
	const isPart = (part: string) => isCharacter(part) || normal.has(part);
	const merges: [string, string][] = [];
	for (const id of ids) {
		const token = tokens[id] ?? "";
		for (let at = token.length - 1; at > 0; at--) {
			// Between the halves of a surrogate pair there is no place to divide.
			if ((token.codePointAt(at - 1) ?? 0) > 0xffff) continue;
			const left = token.slice(0, at);
			const right = token.slice(at);
			if (isPart(left) && isPart(right)) merges.push([left, right]);
		}
	}
	return merges;
}

/** "Ġt he": the first space after the first character divides. */
function mergePair(merge: string, index: number): [string, string] {
	const space = merge.indexOf(" ", 1);
	if (space !== -1 && space < merge.length - 1) return [merge.slice(0, space), merge.slice(space + 1)];
	throw new TokError(
		"lm",
		`tokenizer.ggml.merges[${index}]: expected two tokens and a space, got "${merge}".`,
	);
}

function tokenId(metadata: Metadata, name: string, count: number): number | undefined {
	const key = `tokenizer.ggml.${name}_token_id`;
	const value = metadata.get(key);
	if (value === undefined) return undefined;
	if (typeof value === "number" && Number.isInteger(value) && value >= 0 && value < count) return value;
	throw new TokError("lm", `${key}: expected a token id below ${count}, got ${describe(value)}.`);
}

function strings(metadata: Metadata, key: string): string[] {
	const value = metadata.get(key);
	if (Array.isArray(value) && value.every((item) => typeof item === "string")) return value;
	throw new TokError(
		"lm",
		`${key}: expected an array of texts, got ${describe(value)}. The file carries no such tokenizer.`,
	);
}

function numbers(metadata: Metadata, key: string, count: number): number[] {
	const value = metadata.get(key);
	if (Array.isArray(value) && value.length === count && value.every((item) => typeof item === "number"))
		return value;
	throw new TokError("lm", `${key}: expected ${count} numbers, one for each token, got ${describe(value)}.`);
}

function describe(value: MetadataValue | undefined): string {
	if (value === undefined) return "nothing";
	return Array.isArray(value)
		? `an array of ${value.length}`
		: JSON.stringify(typeof value === "bigint" ? `${value}` : value);
}
