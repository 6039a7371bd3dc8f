import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { openGguf } from "../testing/open-tensor-file.ts";
import { realModelPath, realModelReason } from "../testing/real-model.ts";
import { chatTemplateFromGguf } from "./chat-template.ts";
import { tokenizerFromGguf } from "./tokenizer-gguf.ts";

const goldens = new URL("../../../../goldens/", import.meta.url);
const book = gunzipSync(readFileSync(new URL("text/long-eval-a.txt.gz", goldens))).toString();
const path = realModelPath();

interface Chat {
	readonly messages: readonly { role: string; content: string }[];
	readonly rendered: string;
	readonly promptIds: readonly number[];
	readonly ids: readonly number[];
	readonly text: string;
}

describe.skipIf(path === undefined)(`SmolLM2's tokenizer (${realModelReason})`, () => {
	const metadata = path === undefined ? new Map() : openGguf(path).metadata;
	const tokenizer = path === undefined ? (undefined as never) : tokenizerFromGguf(metadata);

	test("ids of a book equal the reference's", () => {
		const bytes = readFileSync(new URL("smollm2/tokens.i32", goldens));
		const expected = [...new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4)];
		expect(tokenizer.encode(book.slice(0, 200_000)).slice(0, expected.length)).toEqual(expected);
	});

	test("rendered chats, their ids and the decoded answers equal the reference's", async () => {
		const chats: Chat[] = JSON.parse(readFileSync(new URL("smollm2/greedy.json", goldens), "utf8"));
		const template = chatTemplateFromGguf(metadata, tokenizer);
		await template?.prepare();
		for (const chat of chats) {
			const rendered = template?.render(chat.messages);
			expect(rendered).toBe(chat.rendered);
			expect(tokenizer.encode(chat.rendered, { parseSpecial: true, addSpecialTokens: false })).toEqual(
				chat.promptIds,
			);
			expect(tokenizer.decode(chat.ids)).toBe(chat.text);
		}
	});

	test("a book of megabytes encodes in bounded pieces and comes back", () => {
		let longest = 0;
		const ids: number[] = [];
		for (const chunk of tokenizer.encodeChunks(book)) {
			longest = Math.max(longest, chunk.length);
			for (const id of chunk) ids.push(id);
		}
		expect(longest).toBeLessThan(32_768);
		expect(tokenizer.decode(ids)).toBe(book);
	});

	test("special tokens, ends of text and single tokens", () => {
		expect(tokenizer.vocabularySize).toBe(49152);
		expect([tokenizer.bosId, tokenizer.eosId]).toEqual([1, 2]);
		expect([...tokenizer.endOfTextIds].sort()).toEqual([0, 2]);
		expect(tokenizer.tokenId("<|im_end|>")).toBe(2);
		expect(tokenizer.encode("<|im_end|>", { parseSpecial: true })).toEqual([2]);
		expect(tokenizer.encode("<|im_end|>")).not.toContain(2);
		expect(tokenizer.decode([1, 28, 2], { skipSpecialTokens: true })).toBe(",");
		expect(tokenizer.decode([1, 28, 2])).toBe("<|im_start|>,<|im_end|>");
		expect(tokenizer.tokenText(10813)).toBe("\ufffd");
		expect(tokenizer.tokenBytes(10813)).toEqual(Uint8Array.of(0xf0, 0x9f));
	});

	test("any text comes back, lone surrogates as U+FFFD", () => {
		// Its training text never held these, so it has no tokens for their bytes; other implementations drop them, too.
		const missing = new Set([0x04, 0x06, 0x13, 0x14, 0x16, 0x1d, 0xc0, 0xc1, 0xf1, 0xf2, 0xf5]);
		const known = (text: string) =>
			new TextDecoder("utf-8", { ignoreBOM: true }).decode(
				new TextEncoder().encode(text).filter((byte) => !missing.has(byte)),
			);
		const anyText = fc.oneof(
			fc.string({ unit: "grapheme", maxLength: 300 }),
			fc.string({ unit: "binary", maxLength: 300 }),
		);
		fc.assert(
			fc.property(anyText, (text) => {
				expect(tokenizer.decode(tokenizer.encode(text))).toBe(known(text));
			}),
			{ numRuns: 300, examples: [[""], ["\0"], ["a\0b"], ["\ufeffx"], ["🐋 é́ 漢字 \r\n\t "]] },
		);
		expect(tokenizer.decode(tokenizer.encode("a\ud800b\udc00"))).toBe("a\ufffdb\ufffd");
		expect(tokenizer.encode("")).toEqual([]);
	});

	test("a run of 100,000 letters takes seconds at most, not minutes", () => {
		const started = performance.now();
		const ids = tokenizer.encode("a".repeat(100_000));
		expect(performance.now() - started).toBeLessThan(20_000);
		expect(tokenizer.decode(ids)).toBe("a".repeat(100_000));
	});
});
