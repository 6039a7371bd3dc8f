import { TokError } from "@tok/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { MetadataValue } from "../formats/tensor-file.ts";
import { byteLevelMetadata, sentencePieceMetadata } from "../testing/tokenizer-metadata.ts";
import { tokenizerFromGguf } from "./tokenizer-gguf.ts";

const pieces = [
	"▁the",
	"▁▁▁▁",
	"▁th",
	"the",
	"▁▁",
	"▁t",
	"th",
	"he",
	"ab",
	"abab",
	"ba",
	"b▁a",
	"in",
	"ing",
	"▁a",
	"é",
	"🐋▁",
];
const letters = ["▁", "t", "h", "e", "a", "b", "i", "n", "g"];

/** SentencePiece by its definition: again and again, merge the best-scored neighbours, the leftmost among equals. */
function naiveSentencePiece(text: string, metadata: ReadonlyMap<string, MetadataValue>): number[] {
	const tokens = metadata.get("tokenizer.ggml.tokens") as string[];
	const scores = metadata.get("tokenizer.ggml.scores") as number[];
	const ids = new Map(tokens.flatMap((token, id) => (id >= 259 ? [[token, id] as const] : [])));
	const symbols = [...text];
	for (;;) {
		let best = { score: -Infinity, at: -1 };
		for (let at = 0; at + 1 < symbols.length; at++) {
			const id = ids.get(`${symbols[at]}${symbols[at + 1]}`);
			const score = id === undefined ? -Infinity : (scores[id] as number);
			if (score > best.score) best = { score, at };
		}
		if (best.at < 0) break;
		symbols.splice(best.at, 2, `${symbols[best.at]}${symbols[best.at + 1]}`);
	}
	return symbols.flatMap((symbol) => {
		const id = ids.get(symbol);
		return id !== undefined ? [id] : Array.from(new TextEncoder().encode(symbol), (byte) => 3 + byte);
	});
}

describe("SentencePiece", () => {
	const text = fc.array(
		fc.constantFrom(
			"t",
			"h",
			"e",
			"a",
			"b",
			"i",
			"n",
			"g",
			" ",
			"  ",
			"the",
			" the",
			"é",
			"漢",
			"\n",
			"🐋",
			"▁",
		),
		{ maxLength: 40 },
	);

	test.each([true, false])(
		"ids are those of merging by score; text comes back (space prefix: %s)",
		(prefix) => {
			const metadata = sentencePieceMetadata([...pieces, ...letters], prefix);
			const tokenizer = tokenizerFromGguf(metadata);
			fc.assert(
				fc.property(text, (parts) => {
					const input = parts.join("");
					const escaped = (prefix && input !== "" ? "▁" : "") + input.replaceAll(" ", "▁");
					const ids = tokenizer.encode(input, { addSpecialTokens: false });
					expect(ids).toEqual(naiveSentencePiece(escaped, metadata));
					expect(tokenizer.decode(ids)).toBe(input.replaceAll("▁", " "));
				}),
				{ numRuns: 1000 },
			);
		},
	);

	test("bos goes before the text; control tokens are found only in trusted text; each section gets its space", () => {
		const tokenizer = tokenizerFromGguf(sentencePieceMetadata([...pieces, ...letters]));
		const id = (token: string) => tokenizer.tokenId(token) as number;
		expect(tokenizer.encode("the")).toEqual([1, id("▁the")]);
		expect(tokenizer.encode("the</s>the", { parseSpecial: true })).toEqual([1, id("▁the"), 2, id("▁the")]);
		expect(tokenizer.encode("</s>")).not.toContain(2);
		expect(tokenizer.decode([1, id("▁the")], { skipSpecialTokens: true })).toBe("the");
		expect(tokenizer.decode([1, id("▁the")])).toBe("<s> the");
		expect(tokenizer.endOfTextIds).toEqual(new Set([2]));
		expect(tokenizer.tokenText(id("▁the"))).toBe(" the");
		expect(tokenizer.tokenBytes(3 + 0xf0)).toEqual(Uint8Array.of(0xf0));
	});

	test("without byte tokens, unknown characters become one unknown token", () => {
		const metadata = sentencePieceMetadata(letters);
		metadata.set(
			"tokenizer.ggml.token_type",
			(metadata.get("tokenizer.ggml.token_type") as number[]).map((type) => (type === 6 ? 5 : type)),
		);
		expect(tokenizerFromGguf(metadata).encode("a漢字b", { addSpecialTokens: false })).toEqual([
			259, 263, 0, 264,
		]);
	});

	test("a long text is cut where no merge reaches across", () => {
		const metadata = sentencePieceMetadata([...pieces, ...letters]);
		const tokenizer = tokenizerFromGguf(metadata);
		const unit = "the b a  ab   e ▁b ab\n b ";
		const input = unit.repeat(20_000);
		const chunks = [...tokenizer.encodeChunks(input, { addSpecialTokens: false })];
		expect(chunks.length).toBeGreaterThan(5);
		const few = naiveSentencePiece(`▁${unit.repeat(40).replaceAll(" ", "▁")}`, metadata);
		expect(chunks.flat().slice(0, few.length - 10)).toEqual(few.slice(0, -10));
		expect(tokenizer.decode(chunks.flat())).toBe(input.replaceAll("▁", " "));
	});
});

describe("byte-level", () => {
	const merges = [
		[" ", "a"],
		[" a", "b"],
		["a", "b"],
		["c", "o"],
	] as const;

	test("merges in order, every byte comes back, special and user-defined tokens", () => {
		const tokenizer = tokenizerFromGguf(byteLevelMetadata("gpt-2", merges));
		const id = (token: string) => tokenizer.tokenId(token) as number;
		expect(tokenizer.encode("ab ab")).toEqual([id("ab"), id("Ġab")]);
		expect(tokenizer.encode("a<user>b<|end|>").slice(0, 3)).toEqual([id("a"), id("<user>"), id("b")]);
		expect(tokenizer.encode("<|end|>", { parseSpecial: true })).toEqual([tokenizer.eosId]);
		expect(tokenizer.endOfTextIds).toEqual(new Set([id("<|end|>")]));
		const all = Array.from({ length: 256 }, (_, byte) => tokenizer.tokenBytes(byte)[0]);
		expect(all).toEqual(Array.from({ length: 256 }, (_, byte) => byte));
	});

	test("words named like members of Object are words", () => {
		const tokenizer = tokenizerFromGguf(byteLevelMetadata("llama-bpe", merges));
		for (const text of ["constructor", "toString", "__proto__", "hasOwnProperty valueOf"]) {
			expect(tokenizer.decode(tokenizer.encode(text))).toBe(text);
		}
	});

	test("a word that is a token stays whole where the model says so", () => {
		const metadata = (pre: string) => {
			const map = byteLevelMetadata(pre, merges);
			map.set("tokenizer.ggml.tokens", (map.get("tokenizer.ggml.tokens") as string[]).with(0, "whole"));
			return map;
		};
		expect(tokenizerFromGguf(metadata("llama-bpe")).encode("whole")).toEqual([0]);
		expect(tokenizerFromGguf(metadata("qwen2")).encode("whole")).toHaveLength(5);
	});

	test("bos by the model's custom unless the file says", () => {
		const metadata = byteLevelMetadata("llama-bpe", merges);
		metadata.set("tokenizer.ggml.bos_token_id", 5);
		expect(tokenizerFromGguf(metadata).encode("a")[0]).toBe(5);
		metadata.set("tokenizer.ggml.add_bos_token", false);
		expect(tokenizerFromGguf(metadata).encode("a")).toHaveLength(1);
		metadata.set("tokenizer.ggml.add_eos_token", true);
		expect(tokenizerFromGguf(metadata).encode("a")).toHaveLength(2);
	});

	test("Phi-3's control tokens take the white space after them along", () => {
		const metadata = byteLevelMetadata("gpt-2", merges);
		metadata.set("general.name", "Phi-3 mini");
		const tokenizer = tokenizerFromGguf(metadata);
		expect(tokenizer.encode("<|end|> \n ab", { parseSpecial: true })).toEqual([
			tokenizer.eosId,
			tokenizer.tokenId("ab"),
		]);
	});
});

describe("metadata that cannot be used is refused by name", () => {
	const good = () => byteLevelMetadata("gpt-2", []);
	test.each<[string, MetadataValue | undefined, RegExp]>([
		["tokenizer.ggml.model", "rwkv", /expected "gpt2" or "llama", got "rwkv"/],
		["tokenizer.ggml.model", undefined, /tokenizer\.ggml\.model: .*got nothing/],
		[
			"tokenizer.ggml.pre",
			"superbpe",
			/tokenizer\.ggml\.pre: expected one of .*got "superbpe".*tokenizer\.json/,
		],
		["tokenizer.ggml.pre", undefined, /tokenizer\.ggml\.pre: .*got nothing/],
		["tokenizer.ggml.tokens", undefined, /tokenizer\.ggml\.tokens: expected an array of texts, got nothing/],
		[
			"tokenizer.ggml.token_type",
			[1, 2],
			/token_type: expected 258 numbers, one for each token, got an array of 2/,
		],
		["tokenizer.ggml.merges", ["ab"], /merges\[0\]: expected two tokens and a space, got "ab"/],
		["tokenizer.ggml.eos_token_id", 258, /eos_token_id: expected a token id below 258, got 258/],
	])("%s = %j", (key, value, message) => {
		const metadata = good();
		if (value === undefined) metadata.delete(key);
		else metadata.set(key, value);
		expect(() => tokenizerFromGguf(metadata)).toThrow(message);
		expect(() => tokenizerFromGguf(metadata)).toThrow(TokError);
	});

	test("ids that are none", () => {
		const tokenizer = tokenizerFromGguf(good());
		expect(() => tokenizer.decode([-1])).toThrow(/expected token ids that are whole numbers ≥ 0, got -1/);
		expect(() => tokenizer.createDetokenizer().push(0.5)).toThrow(TokError);
		expect(tokenizer.decode([99_999])).toBe("");
	});
});
