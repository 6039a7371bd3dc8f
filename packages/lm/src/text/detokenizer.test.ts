import { Tokenizer as Reference } from "@huggingface/tokenizers";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openGguf } from "../testing/open-tensor-file.ts";
import { realModelPath, realModelReason } from "../testing/real-model.ts";
import { byteLevelMetadata, sentencePieceMetadata } from "../testing/tokenizer-metadata.ts";
import type { Tokenizer } from "./tokenizer.ts";
import { tokenizerFromGguf } from "./tokenizer-gguf.ts";

/** Pushes and flush together are the whole decode; no push but the last shows an unfinished character. */
function checkStreaming(tokenizer: Tokenizer, runs: number): void {
	const ids = fc.array(fc.integer({ min: 0, max: tokenizer.vocabularySize + 2 }), { maxLength: 60 });
	fc.assert(
		fc.property(ids, fc.boolean(), (list, skipSpecialTokens) => {
			const stream = tokenizer.createDetokenizer({ skipSpecialTokens });
			const text = list.map((id) => stream.push(id)).join("") + stream.flush();
			expect(text).toBe(tokenizer.decode(list, { skipSpecialTokens }));
		}),
		{ numRuns: runs },
	);
}

const byteLevel = tokenizerFromGguf(
	byteLevelMetadata("gpt-2", [
		["🐋", " "],
		["é", "a"],
	]),
);
const sentencePiece = tokenizerFromGguf(sentencePieceMetadata(["▁a", "▁", "é", "▁▁", "🐋"]));

describe("a stream shows what the whole decode shows", () => {
	test("byte-level, random bytes", () => checkStreaming(byteLevel, 2000));
	test("SentencePiece, random bytes and pieces", () => checkStreaming(sentencePiece, 2000));
});

test("a character is shown when it is whole, and held back until then", () => {
	const [a, b, c, d] = new TextEncoder().encode("🐋") as unknown as [number, number, number, number];
	const id = (byte: number) => 3 + byte;
	const stream = sentencePiece.createDetokenizer();
	expect([a, b, c, d].map((byte) => stream.push(id(byte)))).toEqual(["", "", "", "🐋"]);
	expect(stream.push(id(a))).toBe("");
	expect(stream.push(id(0x41))).toBe("\ufffdA");
	expect(stream.push(id(b))).toBe("\ufffd");
	expect(stream.push(id(a))).toBe("");
	expect(stream.flush()).toBe("\ufffd");
	expect(stream.flush()).toBe("");
	expect(stream.push(id(0x42))).toBe("B");
});

test("the first space goes only at the start of a text", () => {
	const ids = [sentencePiece.tokenId("▁a") as number, sentencePiece.tokenId("▁a") as number];
	const start = sentencePiece.createDetokenizer();
	expect(ids.map((id) => start.push(id))).toEqual(["a", " a"]);
	const later = sentencePiece.createDetokenizer({ continued: true });
	expect(ids.map((id) => later.push(id))).toEqual([" a", " a"]);
});

test("a byte order mark is a character", () => {
	const ids = byteLevel.encode("\ufeffa\ufeff");
	const stream = byteLevel.createDetokenizer();
	expect(ids.map((id) => stream.push(id)).join("")).toBe("\ufeffa\ufeff");
	expect(byteLevel.decode(ids)).toBe("\ufeffa\ufeff");
});

const path = realModelPath();

describe.skipIf(path === undefined)(`SmolLM2 (${realModelReason})`, () => {
	const metadata = path === undefined ? new Map() : openGguf(path).metadata;

	test("random ids decode as @huggingface/tokenizers decodes them, whole and streamed", () => {
		const tokenizer = tokenizerFromGguf(metadata);
		checkStreaming(tokenizer, 300);
		const tokens = metadata.get("tokenizer.ggml.tokens") as string[];
		const reference = new Reference(
			{
				added_tokens: tokens.slice(0, 17).map((content, id) => ({ id, content, special: true })),
				normalizer: null,
				pre_tokenizer: null,
				post_processor: null,
				decoder: { type: "ByteLevel" },
				model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
			},
			{ clean_up_tokenization_spaces: false },
		);
		const ids = fc.array(
			fc.oneof(fc.integer({ min: 0, max: tokens.length - 1 }), fc.integer({ min: 0, max: 300 })),
			{ minLength: 1, maxLength: 60 },
		);
		fc.assert(
			fc.property(ids, fc.boolean(), (list, skip) => {
				expect(tokenizer.decode(list, { skipSpecialTokens: skip })).toBe(
					reference.decode(list, { skip_special_tokens: skip }),
				);
			}),
			{ numRuns: 300 },
		);
	});
});
