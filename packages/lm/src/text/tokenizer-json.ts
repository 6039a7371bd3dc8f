/**
 * The pipeline of a tokenizer.json: normalizer, pre_tokenizer, decoder, post_processor. Its steps are rewritten where
 * `@huggingface/tokenizers` 0.2.0 differs from the original: its `Digits` knows ASCII digits alone (the original: all
 * of \p{N}), its `ByteLevel` takes U+FEFF for white space and U+0085 not, its `Punctuation` joins neighbours, and
 * `Split` merges with neither side. Steps that would come out wrong or that it only approximates are refused.
 */
import { TokError } from "@tok/runtime";
import { literalPattern } from "./added-tokens.ts";
import { asArray, asObject, asString, type JsonObject } from "./json-fields.ts";
import { gpt2Pattern } from "./split-patterns.ts";
import type { Split, TokenizerDefinition } from "./tokenizer-definition.ts";
import { sentencePieceSpace } from "./tokenizer-definition.ts";

type Normalizers = TokenizerDefinition["normalizers"];
type Words = TokenizerDefinition["words"];

const exactNormalizers = new Set(["NFC", "NFD", "NFKC", "NFKD", "Replace", "Prepend", "Strip", "Lowercase"]);

/** The steps of a `Sequence` of `Sequence`s, in order. */
function steps(value: unknown, list: string): readonly JsonObject[] {
	const step = asObject(value);
	if (step === undefined) return [];
	return step.type === "Sequence"
		? (asArray(step[list]) ?? []).flatMap((inner) => steps(inner, list))
		: [step];
}

function refuse(field: string, step: unknown): never {
	const shown = JSON.stringify(step)?.slice(0, 200) ?? "nothing";
	throw new TokError(
		"lm",
		`tokenizer.json: ${field}: this step is not supported: ${shown}. Use another model.`,
	);
}

export function readNormalizers(value: unknown): Normalizers {
	const list = steps(value, "normalizers");
	for (const step of list) if (!exactNormalizers.has(String(step.type))) refuse("normalizer", step);
	return list as unknown as Normalizers;
}

export function readWords(value: unknown, normalizers: Normalizers): Words {
	const list = steps(value, "pretokenizers");
	const last = list.at(-1);
	if (last?.type === "ByteLevel") {
		const splits = list.slice(0, -1).map(readSplit);
		const addPrefixSpace = last.add_prefix_space === true;
		// The original would add a space to every part that the other splits made.
		if (addPrefixSpace && splits.length > 0) refuse("pre_tokenizer", last);
		if (last.use_regex !== false) splits.push({ pattern: gpt2Pattern, matchesOnly: false });
		return { kind: "byte-level", splits, addPrefixSpace };
	}
	if (last === undefined) return { kind: "sentencepiece", prefix: "never" };
	if (list.length > 1) refuse("pre_tokenizer", value);
	if (
		last.type === "Metaspace" &&
		last.split === false &&
		(last.replacement ?? sentencePieceSpace) === sentencePieceSpace
	) {
		const prefix = asString(last.prepend_scheme) ?? "always";
		return prefix === "always" || prefix === "first" || prefix === "never"
			? { kind: "sentencepiece", prefix }
			: refuse("pre_tokenizer", last);
	}
	// Gemma splits at spaces after its normaliser has left none.
	const spacesGone = normalizers.some(
		(step) => step.type === "Replace" && step.pattern.String === " " && step.content === sentencePieceSpace,
	);
	if (last.type === "Split" && asObject(last.pattern)?.String === " " && spacesGone) {
		return { kind: "sentencepiece", prefix: "never" };
	}
	return refuse("pre_tokenizer", last);
}

const punctuation = "[\\p{P}!-\\/:-@\\[-`{-~]";

function readSplit(step: JsonObject): Split {
	const isolated = (pattern: string): Split => ({ pattern, matchesOnly: false });
	if (step.type === "Digits") return isolated(step.individual_digits === true ? "\\p{N}" : "\\p{N}+");
	if (step.type === "Punctuation") {
		const behavior = step.behavior ?? "Isolated";
		if (behavior === "Isolated") return isolated(punctuation);
		if (behavior === "Contiguous") return isolated(`${punctuation}+`);
	}
	if (step.type === "Split") {
		const { Regex: regex, String: text } = asObject(step.pattern) ?? {};
		const pattern = asString(regex) ?? (typeof text === "string" ? literalPattern(text) : undefined);
		const matchesOnly = step.behavior === "Removed" && step.invert === true;
		if (pattern !== undefined && (matchesOnly || (step.behavior === "Isolated" && step.invert !== true))) {
			return { pattern, matchesOnly };
		}
	}
	return refuse("pre_tokenizer", step);
}

/** Checks that the decoder is one that `TokenBytes` knows; returns whether it drops the first space of a text. */
export function readDecoder(value: unknown): boolean {
	const list = steps(value, "decoders");
	const first = list[0];
	if (list.length === 1 && first?.type === "ByteLevel") return false;
	if (list.length === 1 && first?.type === "Metaspace") return first.prepend_scheme !== "never";
	if (list.length === 0) refuse("decoder", value);
	let strip = false;
	for (const step of list) {
		const replacesSpace = asObject(step.pattern)?.String === sentencePieceSpace && step.content === " ";
		if (step.type === "Replace" && replacesSpace) continue;
		if (step.type === "ByteFallback" || step.type === "Fuse") continue;
		if (step.type === "Strip" && step.content === " " && step.start === 1 && step.stop === 0) strip = true;
		else refuse("decoder", step);
	}
	return strip;
}

interface NamedIds {
	readonly bosId: number | undefined;
	readonly eosId: number | undefined;
	readonly tokenId: (text: string | undefined) => number | undefined;
}

/** transformers rebuilds the post-processor of these from `add_bos_token` and `add_eos_token`. */
const rebuiltClasses = /^(Code)?(Llama|Gemma)Tokenizer(Fast)?$/;

export function readSpecialIds(
	value: unknown,
	config: JsonObject,
	names: NamedIds,
): Pick<TokenizerDefinition, "prefixIds" | "suffixIds"> {
	let prefixIds: number[] = [];
	let suffixIds: number[] = [];
	for (const step of steps(value, "processors")) {
		if (step.type === "ByteLevel") continue;
		if (step.type !== "TemplateProcessing") refuse("post_processor", step);
		const items = asArray(step.single) ?? [];
		const text = items.findIndex((item) => asObject(item)?.Sequence !== undefined);
		const ids = (part: readonly unknown[]) =>
			part.map(
				(item) =>
					names.tokenId(asString(asObject(asObject(item)?.SpecialToken)?.id)) ??
					refuse("post_processor", item),
			);
		prefixIds = ids(items.slice(0, text));
		suffixIds = ids(items.slice(text + 1));
	}
	if (rebuiltClasses.test(asString(config.tokenizer_class) ?? "")) {
		const present = (id: number | undefined) => (id === undefined ? [] : [id]);
		if (typeof config.add_bos_token === "boolean")
			prefixIds = config.add_bos_token ? present(names.bosId) : [];
		if (typeof config.add_eos_token === "boolean")
			suffixIds = config.add_eos_token ? present(names.eosId) : [];
	}
	return { prefixIds, suffixIds };
}
