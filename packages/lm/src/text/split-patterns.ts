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

/** The same patterns as tokenizer.json files spell them. */
const spellings = [
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
	o200k("(?i:'s|'t|'re|'ve|'m|'ll|'d)?", "\\p{N}{1,3}"),
	"[!\"#$%&'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\r\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\r\n]*|\\s*[\r\n]+|\\s+(?!\\S)|\\s+",
	"[\r\n]",
];

/**
 * Patterns of which no match reaches over the place between a letter and a single space before a letter, and which
 * look neither back nor further ahead than the white space they match. A text may be cut there without a change.
 */
export const cuttablePatterns: ReadonlySet<string> = new Set([
	...[...preTokenizers.values()].flatMap((entry) => entry.splits.map((split) => split.pattern)),
	...spellings,
]);
