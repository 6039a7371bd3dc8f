import { TokError } from "@tok/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { byteLevelMetadata, sentencePieceMetadata } from "../testing/tokenizer-metadata.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { tokenizerFromFiles } from "./tokenizer-files.ts";
import { tokenizerFromGguf } from "./tokenizer-gguf.ts";

const load = (files: Record<string, unknown>): Promise<Tokenizer> =>
	tokenizerFromFiles(async (name) => (name in files ? JSON.stringify(files[name]) : undefined));

const merges: [string, string][] = [
	[" ", "a"],
	[" a", "b"],
	["a", "b"],
	["1", "2"],
	[" ", "1"],
	[" ", " "],
];
const metadata = byteLevelMetadata("smollm", merges);
const tokens = metadata.get("tokenizer.ggml.tokens") as string[];

/** The tokenizer of `metadata` as transformers writes it. */
const json = {
	added_tokens: [
		{ id: tokens.length - 2, content: "<|end|>", special: true },
		{ id: tokens.length - 1, content: "<user>", special: false, normalized: false },
	],
	normalizer: null as unknown,
	pre_tokenizer: {
		type: "Sequence",
		pretokenizers: [
			{ type: "Digits", individual_digits: true },
			{ type: "ByteLevel", add_prefix_space: false, trim_offsets: true, use_regex: true },
		],
	} as unknown,
	post_processor: null as unknown,
	decoder: { type: "ByteLevel" } as unknown,
	model: {
		type: "BPE",
		vocab: Object.fromEntries(tokens.map((token, id) => [token, id])),
		merges: metadata.get("tokenizer.ggml.merges"),
	} as Record<string, unknown>,
};

const anyText = fc.array(
	fc.constantFrom(
		"a",
		"b",
		" ",
		"1",
		"2",
		"٣",
		"²",
		"é",
		"\n",
		"<user>",
		"<|end|>",
		"\u0085",
		"\ufeff",
		"'s",
	),
	{ maxLength: 40 },
);

describe("the same tokenizer from GGUF and from files has the same ids", () => {
	test("byte-level, merges as texts and as pairs", async () => {
		const pairs = {
			...json,
			model: { ...json.model, merges: (json.model.merges as string[]).map((merge) => merge.split(" ")) },
		};
		const [first, second] = await Promise.all([
			load({ "tokenizer.json": json }),
			load({ "tokenizer.json": pairs }),
		]);
		const gguf = tokenizerFromGguf(metadata);
		fc.assert(
			fc.property(anyText, fc.boolean(), (parts, parseSpecial) => {
				const text = parts.join("");
				const expected = gguf.encode(text, { parseSpecial });
				expect(first.encode(text, { parseSpecial })).toEqual(expected);
				expect(second.encode(text, { parseSpecial })).toEqual(expected);
			}),
			{ numRuns: 500 },
		);
	});

	const gguf = sentencePieceMetadata(["▁a", "ab", "▁▁", "▁", "a", "b"]);
	const pieces = gguf.get("tokenizer.ggml.tokens") as string[];
	const llama = {
		added_tokens: [0, 1, 2].map((id) => ({ id, content: pieces[id], special: true, normalized: false })),
		normalizer: {
			type: "Sequence",
			normalizers: [
				{ type: "Prepend", prepend: "▁" },
				{ type: "Replace", pattern: { String: " " }, content: "▁" },
			],
		} as unknown,
		pre_tokenizer: null as unknown,
		post_processor: {
			type: "TemplateProcessing",
			single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
			pair: [],
			special_tokens: { "<s>": { id: "<s>", ids: [1], tokens: ["<s>"] } },
		},
		decoder: {
			type: "Sequence",
			decoders: [
				{ type: "Replace", pattern: { String: "▁" }, content: " " },
				{ type: "ByteFallback" },
				{ type: "Fuse" },
				{ type: "Strip", content: " ", start: 1, stop: 0 },
			],
		} as unknown,
		model: {
			vocab: Object.fromEntries(pieces.map((piece, id) => [piece, id])),
			merges: ["▁ a", "a b", "▁ ▁"],
			unk_token: "<unk>",
			fuse_unk: true,
			byte_fallback: true,
		},
	};

	test("SentencePiece as Llama 2 has it", async () => {
		const files = await load({ "tokenizer.json": llama });
		const reference = tokenizerFromGguf(gguf);
		fc.assert(
			fc.property(anyText, (parts) => {
				const text = parts.join("");
				const ids = files.encode(text);
				expect(ids).toEqual(reference.encode(text));
				expect(files.decode(ids, { skipSpecialTokens: true })).toBe(text);
			}),
			{ numRuns: 300 },
		);
	});

	test("Metaspace: a space before the first section, or none", async () => {
		const withScheme = (prepend_scheme: string) =>
			load({
				"tokenizer.json": {
					...llama,
					normalizer: null,
					pre_tokenizer: { type: "Metaspace", replacement: "▁", prepend_scheme, split: false },
					decoder: { type: "Metaspace", prepend_scheme },
				},
			});
		const ids = async (scheme: string) => (await withScheme(scheme)).encode("a</s>a", { parseSpecial: true });
		const a = pieces.indexOf("a");
		const spaceA = pieces.indexOf("▁a");
		expect(await ids("first")).toEqual([1, spaceA, 2, a]);
		expect(await ids("always")).toEqual([1, spaceA, 2, spaceA]);
		expect(await ids("never")).toEqual([1, a, 2, a]);
		expect((await withScheme("first")).encode(" a")).toEqual([1, spaceA]);
		expect((await withScheme("first")).decode([spaceA, spaceA])).toBe("a a");
		expect((await withScheme("never")).decode([spaceA])).toBe(" a");
	});

	test("Gemma: spaces replaced, nothing prepended, nothing stripped", async () => {
		const tokenizer = await load({
			"tokenizer.json": {
				...llama,
				normalizer: { type: "Replace", pattern: { String: " " }, content: "▁" },
				pre_tokenizer: {
					type: "Split",
					pattern: { String: " " },
					behavior: "MergedWithPrevious",
					invert: false,
				},
				decoder: {
					type: "Sequence",
					decoders: [
						{ type: "Replace", pattern: { String: "▁" }, content: " " },
						{ type: "ByteFallback" },
						{ type: "Fuse" },
					],
				},
			},
		});
		expect(tokenizer.encode(" a  ab")).toEqual([
			1,
			...["▁a", "▁", "▁a", "b"].map((piece) => pieces.indexOf(piece)),
		]);
		expect(tokenizer.decode(tokenizer.encode(" a  ab"), { skipSpecialTokens: true })).toBe(" a  ab");
	});
});

test("bos, eos and ends of text come from the files beside it", async () => {
	const config = {
		bos_token: { content: "<user>" },
		eos_token: "<|end|>",
		tokenizer_class: "LlamaTokenizerFast",
		add_bos_token: true,
		add_eos_token: true,
	};
	const tokenizer = await load({
		"tokenizer.json": json,
		"tokenizer_config.json": config,
		"generation_config.json": { eos_token_id: [7, tokens.length - 2] },
	});
	const end = tokens.length - 2;
	expect([tokenizer.bosId, tokenizer.eosId]).toEqual([end + 1, end]);
	expect(tokenizer.endOfTextIds).toEqual(new Set([end, 7]));
	expect(tokenizer.encode("ab")).toEqual([end + 1, tokens.indexOf("ab"), end]);
	expect(tokenizer.encode("ab", { addSpecialTokens: false })).toEqual([tokens.indexOf("ab")]);
	const bare = await load({ "tokenizer.json": json, "special_tokens_map.json": { eos_token: "<|end|>" } });
	expect([bare.bosId, bare.eosId]).toEqual([undefined, end]);
});

test("in the harmony format <|end|> ends a message, not the answer", async () => {
	const texts = ["<|end|>", "<|return|>", "<|call|>"];
	const added = texts.map((content, index) => ({ id: 1000 + index, content, special: true }));
	const tokenizer = await load({ "tokenizer.json": { ...json, added_tokens: added } });
	expect(tokenizer.endOfTextIds).toEqual(new Set([1001, 1002]));
	expect(tokenizer.vocabularySize).toBe(1003);
	expect(tokenizer.tokenText(700)).toBe("");
});

test("normalisation happens to text, not to added tokens", async () => {
	const tokenizer = await load({
		"tokenizer.json": {
			...json,
			normalizer: { type: "NFC" },
			added_tokens: [{ id: 999, content: "e\u0301", special: false }],
		},
	});
	expect(tokenizer.decode(tokenizer.encode("a\u0301"))).toBe("á");
	expect(tokenizer.encode("e\u0301")).toEqual([999]);
});

describe("what would come out wrong is refused by name", () => {
	test.each<[string, Record<string, unknown>, RegExp]>([
		["a Unigram model", { model: { type: "Unigram", vocab: [] } }, /expected a model of type BPE.*"Unigram"/],
		[
			"a suffix of words",
			{ model: { ...json.model, end_of_word_suffix: "</w>" } },
			/end_of_word_suffix is not supported/,
		],
		[
			"damaged merges",
			{ model: { ...json.model, merges: ["abc"] } },
			/model\.merges\[0\]: expected two tokens, got "abc"/,
		],
		["a vocabulary of texts", { model: { ...json.model, vocab: { a: "1" } } }, /model\.vocab: expected ids/],
		[
			"an approximated normalizer",
			{ normalizer: { type: "Precompiled" } },
			/normalizer: this step is not supported: .*Precompiled/,
		],
		[
			"an unknown pre-tokenizer",
			{ pre_tokenizer: { type: "UnicodeScripts" } },
			/pre_tokenizer: .*UnicodeScripts/,
		],
		[
			"a split that merges",
			{
				pre_tokenizer: {
					type: "Sequence",
					pretokenizers: [
						{ type: "Split", pattern: { Regex: "a" }, behavior: "MergedWithNext" },
						{ type: "ByteLevel" },
					],
				},
			},
			/pre_tokenizer: .*MergedWithNext/,
		],
		[
			"Metaspace that splits",
			{ pre_tokenizer: { type: "Metaspace", replacement: "▁" } },
			/pre_tokenizer: .*Metaspace/,
		],
		["an unknown decoder", { decoder: { type: "WordPiece" } }, /decoder: .*WordPiece/],
		["no decoder", { decoder: null }, /decoder: this step is not supported: null/],
		[
			"an unknown post-processor",
			{ post_processor: { type: "BertProcessing" } },
			/post_processor: .*BertProcessing/,
		],
		["damaged added tokens", { added_tokens: [{ id: 1 }] }, /added_tokens\[0\]: expected an id and content/],
	])("%s", async (_, change, message) => {
		await expect(load({ "tokenizer.json": { ...json, ...change } })).rejects.toThrow(message);
	});

	test("no tokenizer.json, and one that is no JSON", async () => {
		await expect(load({})).rejects.toThrow(/expected a tokenizer\.json in the folder, found none/);
		await expect(tokenizerFromFiles(async () => "<html>")).rejects.toThrow(/tokenizer\.json: expected JSON/);
		await expect(tokenizerFromFiles(async () => "[]")).rejects.toThrow(TokError);
	});
});
