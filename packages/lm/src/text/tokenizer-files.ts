/**
 * A tokenizer from a folder in transformers' layout: tokenizer.json (Hugging Face's `tokenizers` format), and beside it
 * tokenizer_config.json, special_tokens_map.json and generation_config.json, which name bos, eos and what ends a
 * generation. BPE only, as all decoder families here use; what the format allows beyond that is refused by name.
 */
import { TokError } from "@tok/runtime";
import type { AddedToken } from "./added-tokens.ts";
import { endOfTextIds } from "./end-of-text.ts";
import {
	asArray,
	asId,
	asObject,
	asString,
	asTokenText,
	type JsonObject,
	type ReadText,
	readJson,
} from "./json-fields.ts";
import { createTokenizer, type Tokenizer } from "./tokenizer.ts";
import type { TokenizerDefinition } from "./tokenizer-definition.ts";
import { readDecoder, readNormalizers, readSpecialIds, readWords } from "./tokenizer-json.ts";

/** Throws a TokError that names the file and field for files that are missing, damaged or not supported. */
export async function tokenizerFromFiles(readText: ReadText): Promise<Tokenizer> {
	const [tokenizer, config, specialTokens, generation] = await Promise.all([
		readJson(readText, "tokenizer.json"),
		readJson(readText, "tokenizer_config.json"),
		readJson(readText, "special_tokens_map.json"),
		readJson(readText, "generation_config.json"),
	]);
	if (tokenizer === undefined) {
		throw new TokError(
			"lm",
			"tokenizer: expected a tokenizer.json in the folder, found none. Add the model's own.",
		);
	}
	const names = { ...specialTokens, ...config };
	return createTokenizer(definitionFromJson(tokenizer, names, generation ?? {}));
}

function definitionFromJson(
	json: JsonObject,
	config: JsonObject,
	generation: JsonObject,
): TokenizerDefinition {
	const model = readModel(json);
	const addedTokens = readAddedTokens(json);
	const tokens: (string | undefined)[] = [];
	for (const [token, id] of Object.entries(model.vocabulary)) tokens[id] = token;
	for (const token of addedTokens) tokens[token.id] = token.text;
	const tokenId = (text: string | undefined): number | undefined => {
		if (text === undefined) return undefined;
		const added = addedTokens.find((token) => token.text === text)?.id;
		return added ?? (Object.hasOwn(model.vocabulary, text) ? model.vocabulary[text] : undefined);
	};
	const bosId = tokenId(asTokenText(config.bos_token));
	const eosId = tokenId(asTokenText(config.eos_token));
	const generationEos = asArray(generation.eos_token_id) ?? [generation.eos_token_id];
	const normalizers = readNormalizers(json.normalizer);
	return {
		...model,
		tokens: Array.from(tokens),
		addedTokens,
		normalizers,
		words: readWords(json.pre_tokenizer, normalizers),
		stripLeadingSpace: readDecoder(json.decoder),
		...readSpecialIds(json.post_processor, config, { bosId, eosId, tokenId }),
		bosId,
		eosId,
		endOfTextIds: endOfTextIds([eosId, ...generationEos.map(asId)], addedTokens),
	};
}

function readModel(json: JsonObject) {
	const model = asObject(json.model);
	const vocabulary = asObject(model?.vocab);
	const merges = asArray(model?.merges);
	if (
		model === undefined ||
		vocabulary === undefined ||
		merges === undefined ||
		(model.type ?? "BPE") !== "BPE"
	) {
		throw new TokError(
			"lm",
			`tokenizer.json: expected a model of type BPE with vocab and merges, got type ${JSON.stringify(model?.type)}. ` +
				"Use a model with a BPE tokenizer.",
		);
	}
	for (const field of ["continuing_subword_prefix", "end_of_word_suffix", "dropout"]) {
		if (model[field]) {
			throw new TokError(
				"lm",
				`tokenizer.json: model.${field} is not supported, got ${JSON.stringify(model[field])}.`,
			);
		}
	}
	const wrong = Object.entries(vocabulary).find(([, id]) => asId(id) === undefined);
	if (wrong !== undefined) {
		throw new TokError(
			"lm",
			`tokenizer.json: model.vocab: expected ids that are whole numbers from 0 to 4194303, got ${JSON.stringify(wrong)}. ` +
				"Download it again.",
		);
	}
	return {
		vocabulary: vocabulary as Readonly<Record<string, number>>,
		merges: merges.map(readMerge),
		ignoreMerges: model.ignore_merges === true,
		byteFallback: model.byte_fallback === true,
		unknownToken: asString(model.unk_token),
		fuseUnknown: model.fuse_unk === true,
	};
}

/** "Ġt he" in older files, ["Ġt", "he"] in newer ones. */
function readMerge(merge: unknown, index: number): [string, string] {
	const parts = typeof merge === "string" ? merge.split(" ") : asArray(merge);
	const [left, right] = parts ?? [];
	if (parts?.length === 2 && typeof left === "string" && typeof right === "string") return [left, right];
	throw new TokError(
		"lm",
		`tokenizer.json: model.merges[${index}]: expected two tokens, got ${JSON.stringify(merge)}.`,
	);
}

function readAddedTokens(json: JsonObject): AddedToken[] {
	return (asArray(json.added_tokens) ?? []).map((value, index) => {
		const token = asObject(value);
		const id = asId(token?.id);
		const text = asString(token?.content);
		if (token === undefined || id === undefined || text === undefined) {
			throw new TokError(
				"lm",
				`tokenizer.json: added_tokens[${index}]: expected an id and content. Download it again.`,
			);
		}
		return {
			id,
			text,
			special: token.special === true,
			leftStrip: token.lstrip === true,
			rightStrip: token.rstrip === true,
			singleWord: token.single_word === true,
		};
	});
}
