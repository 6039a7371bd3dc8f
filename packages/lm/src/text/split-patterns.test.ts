import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { toByteAlphabet } from "./byte-alphabet.ts";
import { cutsBetweenWords, preTokenizers, wordPatterns } from "./split-patterns.ts";
import type { Split, TokenizerDefinition } from "./tokenizer-definition.ts";
import { WordEncoder } from "./word-encoder.ts";

/** Every pair of these characters' first bytes is a token, so that a word that is cut elsewhere shows in the ids. */
const alphabet = [
	"a",
	"B",
	"é",
	"漢",
	"ー",
	"1",
	"٣",
	"²",
	" ",
	"\n",
	"\r",
	"\t",
	"\u00a0",
	"'",
	"s",
	".",
	"/",
	"(",
	"$",
	"\u0301",
	"🐋",
	"\u0085",
	"\ufeff",
];

function definition(splits: readonly Split[]): TokenizerDefinition {
	const letters = [...new Set(alphabet.flatMap((character) => [...toByteAlphabet(character)]))];
	const merges = letters.flatMap((left) => letters.map((right): [string, string] => [left, right]));
	const tokens = [...letters, ...merges.map((pair) => pair.join(""))];
	return {
		tokens,
		addedTokens: [],
		vocabulary: Object.fromEntries(tokens.map((token, id) => [token, id])),
		merges,
		ignoreMerges: false,
		byteFallback: false,
		unknownToken: undefined,
		fuseUnknown: false,
		normalizers: [],
		words: { kind: "byte-level", splits, addPrefixSpace: false },
		stripLeadingSpace: false,
		prefixIds: [],
		suffixIds: [],
		bosId: undefined,
		eosId: undefined,
		endOfTextIds: new Set(),
	};
}

const words = (name: string, text: string) =>
	new WordEncoder(definition(preTokenizers.get(name)?.splits ?? [])).words(text, true);

// What transformers' tokenizers cut, as published with their test suites and visible from their expressions.
test.each([
	["gpt-2", "I'm  fine\n\n", ["I", "'m", " ", " fine", "\n\n"]],
	["gpt-2", "x  \n  y", ["x", "  \n ", " y"]],
	["gpt-2", "I'M 1234", ["I", "'", "M", " 1234"]],
	["gpt-2", "a\u0301b", ["a", "\u0301", "b"]],
	["smollm", "in 2024²", ["in", " ", "2", "0", "2", "4", "²"]],
	["llama-bpe", "I'M 1234567 ok!!\n\nx", ["I", "'M", " ", "123", "456", "7", " ok", "!!\n\n", "x"]],
	["llama-bpe", "(hello -world", ["(hello", " -", "world"]],
	["qwen2", "x123", ["x", "1", "2", "3"]],
	["tekken", "camelCaseWord's 12", ["camel", "Case", "Word", "'s", " ", "1", "2"]],
	["gpt-4o", "camelCaseWord's 1234 abcDEF", ["camel", "Case", "Word's", " ", "123", "4", " abc", "DEF"]],
	["gpt-4o", "HTMLParser", ["HTMLParser"]],
	["deepseek-v3", "1234漢字ab", ["123", "4", "漢字", "ab"]],
	["deepseek-coder", "a\n\nb 12", ["a", "\n", "\n", "b", " ", "1", "2"]],
	["falcon", "a+b 12345", ["a", "+", "b", " ", "123", "45"]],
	["viking", "Hei, 42", ["Hei", ",", " ", "4", "2"]],
	["default", "a... 1234", ["a", "...", " ", "123", "4"]],
])("%s cuts %j", (name, text, expected) => {
	expect(words(name, text)).toEqual(expected);
});

test("white space is Unicode's: U+0085 is, U+FEFF is not", () => {
	expect(words("gpt-2", "a\u0085\u0085b")).toEqual(["a", "\u0085", "\u0085", "b"]);
	expect(words("gpt-2", "a\ufeff!")).toEqual(["a", "\ufeff!"]);
});

describe("cutting a long text between words changes no id", () => {
	const pieces = fc.array(
		fc.oneof(fc.constantFrom(...alphabet), fc.constantFrom("a b", "aB s", "a 's", "B  a")),
		{ maxLength: 80 },
	);
	const families = new Map(
		[...preTokenizers].map(([name, { splits }]) => [JSON.stringify(splits), { name, splits }]),
	);
	const others = [...wordPatterns].map((pattern) => ({
		name: pattern,
		splits: [{ pattern, matchesOnly: false }],
	}));

	test.each([...families.values(), ...others])("$name", ({ splits }) => {
		const whole = new WordEncoder(definition(splits), Infinity);
		const cut = new WordEncoder(definition(splits), 0);
		let cuts = 0;
		fc.assert(
			fc.property(pieces, (characters) => {
				const text = characters.join("");
				const parts = [...cut.encode(text, true)];
				cuts += Math.max(0, parts.length - 1);
				expect(parts.flat()).toEqual([...whole.encode(text, true)].flat());
			}),
			{ numRuns: 100 },
		);
		expect(cuts).toBeGreaterThan(0);
	});

	test("an unknown expression is never cut", () => {
		const sentences = [{ pattern: "[^.]+\\.", matchesOnly: false }];
		expect([...new WordEncoder(definition(sentences), 0).encode("a B s. a B", true)]).toHaveLength(1);
		expect(cutsBetweenWords([{ pattern: "p{N}", matchesOnly: false }])).toBe(false);
	});
});
