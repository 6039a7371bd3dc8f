/**
 * How byte-level tokenizers cut text into words, by the names that GGUF files give them (`tokenizer.ggml.pre`).
 * Facts from llama.cpp's `src/llama-vocab.cpp` (which patterns, `ignore_merges`, `add_bos`) and, where that file quotes
 * the regular expression of the model's own tokenizer.json, from there. GGUF carries no Unicode normalisation and
 * llama.cpp applies none, so neither do we. A name that is not here is refused: a wrong guess would spoil every answer.
 */
import type { Split } from "./tokenizer-definition.ts";

export interface PreTokenizerFacts {
	readonly splits: readonly Split[];
	readonly ignoreMerges: boolean;
	/** Whether a text begins with the bos token when the file does not say. */
	readonly addBos: boolean;
}

/** GPT-2's own: contractions, words, numbers, the rest, each with the space before it. */
export const gpt2Pattern: string =
	"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

const anyCaseContraction = "'(?:[sS]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])";
const lineEnds = "\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
const cl100k = (numbers: string): string =>
	`${anyCaseContraction}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|${lineEnds}`;

const upper = "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]";
const lower = "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]";
const o200k = (ending: string, numbers: string): string =>
	`[^\\r\\n\\p{L}\\p{N}]?${upper}*${lower}+${ending}|[^\\r\\n\\p{L}\\p{N}]?${upper}+${lower}*${ending}|` +
	`${numbers}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|${lineEnds}`;

const deepseek3 = [
	"\\p{N}{1,3}",
	"[一-龥぀-ゟ゠-ヿ]+",
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+|" +
		` ?[\\p{P}\\p{S}]+[\\r\\n]*|${lineEnds}`,
];
const deepseekCoder = ["[\\r\\n]", "\\s?\\p{L}+", "\\s?\\p{P}+", "[一-龥ࠀ-一가-퟿]+", "\\p{N}"];
const llamaDefault = ["[\\p{P}\\$\\+<=>\\^~\\|]+", gpt2Pattern, "\\p{N}+", "[0-9][0-9][0-9]"];
const falcon = ["[\\p{P}\\$\\+<=>\\^~\\|`]+", gpt2Pattern, "[0-9][0-9][0-9]"];
const singleDigits = ["\\p{N}", gpt2Pattern];
const bloom = [" ?[^(\\s|.,!?…。，、।۔،)]+"];

function facts(
	names: readonly string[],
	patterns: readonly string[],
	flags: { ignoreMerges?: boolean; addBos?: boolean } = {},
): [string, PreTokenizerFacts][] {
	const splits = patterns.map((pattern) => ({ pattern, matchesOnly: false }));
	const { ignoreMerges = false, addBos = false } = flags;
	return names.map((name) => [name, { splits, ignoreMerges, addBos }]);
}

export const preTokenizers: ReadonlyMap<string, PreTokenizerFacts> = new Map([
	...facts(
		["gpt-2", "phi-2", "mpt", "olmo", "jais", "exaone4", "trillion", "a.x-4.0", "mellum"],
		[gpt2Pattern],
	),
	...facts(["gigachat", "granite-docling"], [gpt2Pattern]),
	...facts(["smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"], singleDigits),
	...facts(
		["llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2"],
		[cl100k("\\p{N}{1,3}")],
		{ ignoreMerges: true, addBos: true },
	),
	...facts(["dbrx", "smaug-bpe", "glm4", "chatglm-bpe"], [cl100k("\\p{N}{1,3}")]),
	...facts(
		["qwen2", "deepseek-r1-qwen", "kormo", "megrez", "stablelm2", "hunyuan", "grok-2"],
		[cl100k("\\p{N}")],
	),
	...facts(["tekken"], [o200k("", "\\p{N}")], { ignoreMerges: true, addBos: true }),
	...facts(
		["gpt-4o", "llama4", "kanana2", "minimax-m2"],
		[o200k(`(?:${anyCaseContraction})?`, "\\p{N}{1,3}")],
	),
	...facts(["deepseek-v3", "hunyuan-dense"], deepseek3),
	...facts(["deepseek-coder"], deepseekCoder),
	...facts(["falcon"], falcon),
	...facts(["bloom", "poro-chat", "gpt3-finnish"], bloom),
	...facts(["viking"], [...bloom, "\\p{N}"]),
	...facts(["default"], llamaDefault),
]);

/** Patterns that cut before a space between two letters; the last ones as tokenizer.json files spell them. */
export const wordPatterns: ReadonlySet<string> = new Set([
	gpt2Pattern,
	...["\\p{N}", "\\p{N}{1,3}"].flatMap((numbers) => [
		cl100k(numbers),
		cl100k(numbers).replace(anyCaseContraction, "(?i:'s|'t|'re|'ve|'m|'ll|'d)"),
	]),
	o200k("", "\\p{N}"),
	o200k(`(?:${anyCaseContraction})?`, "\\p{N}{1,3}"),
	o200k("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "\\p{N}{1,3}"),
	...[deepseek3[2], deepseekCoder[1], bloom[0]].flatMap((pattern = "") => [
		pattern,
		pattern.replaceAll("\\r", "\r").replaceAll("\\n", "\n"),
	]),
]);

/** Patterns that match no text with a space between two letters in it, and so never reach across. */
const partPatterns: ReadonlySet<string> = new Set([
	...[...preTokenizers.values()].flatMap((entry) => entry.splits.map((split) => split.pattern)),
	"[\r\n]",
]);

/**
 * Whether a text may be cut before a single space between two letters without changing a word: some pattern cuts there
 * anyway, none reaches across, and none looks back, or ahead beyond the white space that it matches.
 */
export function cutsBetweenWords(splits: readonly Split[]): boolean {
	const known = splits.every(({ pattern }) => wordPatterns.has(pattern) || partPatterns.has(pattern));
	return known && splits.some(({ pattern }) => wordPatterns.has(pattern));
}
