/**
 * Ten thousand damaged files of each format. Whatever the damage, the outcome is a file whose tensors can all be read or
 * refused, or a `TokError`; no other exception, and no request for memory that the file's size does not justify.
 */
import { TokError } from "@tok/runtime";
import { describe, expect, test } from "vitest";
import { type ByteSource, memorySource } from "./byte-source.ts";
import { readGguf } from "./gguf.ts";
import type { GgufValue } from "./gguf-values.ts";
import { encodeGguf } from "./gguf-writer.ts";
import { readSafetensors } from "./safetensors.ts";
import { encodeSafetensors } from "./safetensors-writer.ts";
import type { TensorFile } from "./tensor-file.ts";

const rounds = 10_000;
/** Q2_K grows most: 84 bytes become 256 float32. */
const largestGrowth = 1024 / 84;

const gguf = encodeGguf({
	values: new Map<string, GgufValue>([
		["general.architecture", { type: "string", value: "llama" }],
		["general.alignment", { type: "uint32", value: 32 }],
		["llama.block_count", { type: "uint32", value: 2 }],
		["llama.rope.freq_base", { type: "float32", value: 10000 }],
		["general.parameter_count", { type: "uint64", value: 135n }],
		["tokenizer.ggml.add_bos_token", { type: "bool", value: false }],
		["tokenizer.ggml.tokens", { type: "array", of: "string", value: ["<s>", "a", "Ġthe", "é"] }],
		["tokenizer.ggml.token_type", { type: "array", of: "int32", value: [3, 1, 1, 1] }],
		["nested", { type: "array", of: "array", value: [{ type: "array", of: "uint8", value: [1, 2, 3] }] }],
	]),
	tensors: [
		{ name: "token_embd.weight", type: "Q4_0", dims: [2, 32], data: new Uint8Array(36).fill(0x3c) },
		{ name: "blk.0.attn_q.weight", type: "Q6_K", dims: [1, 256], data: new Uint8Array(210).fill(0x35) },
		{ name: "output_norm.weight", type: "F32", dims: [8], data: new Uint8Array(32).fill(0x3f) },
	],
});

const safetensors = encodeSafetensors({
	metadata: new Map([["format", "pt"]]),
	tensors: [
		{ name: "model.embed_tokens.weight", type: "BF16", dims: [4, 8], data: new Uint8Array(64).fill(0x3f) },
		{ name: "model.norm.weight", type: "F32", dims: [8], data: new Uint8Array(32).fill(0x3f) },
		{ name: "ids", type: "I64", dims: [3], data: new Uint8Array(24) },
	],
});

describe("damaged files", () => {
	test.each<[string, Uint8Array, (source: ByteSource) => TensorFile]>([
		["GGUF", gguf, readGguf],
		["safetensors", safetensors, readSafetensors],
	])("%s", (format, whole, open) => {
		const random = generator(format.length);
		const outcomes = { opened: 0, refused: 0 };
		for (let round = 0; round < rounds; round++) {
			const bytes = damage(whole, random);
			const source = memorySource(`${format} ${round}`, bytes);
			const watched: ByteSource = {
				...source,
				read(offset, length) {
					expect(offset >= 0 && length >= 0 && offset + length <= bytes.length).toBe(true);
					return source.read(offset, length);
				},
			};
			try {
				readAll(open(watched));
				outcomes.opened++;
			} catch (error) {
				if (!TokError.isInstance(error) || !error.message.startsWith(`[tok/lm] ${format} ${round}: `))
					throw error;
				outcomes.refused++;
			}
		}
		// Both ends are exercised: damage to the data opens, damage to the header is mostly refused.
		expect(outcomes.opened).toBeGreaterThan(rounds / 50);
		expect(outcomes.refused).toBeGreaterThan(rounds / 4);
	});
});

/** Reads every tensor; a type without a dequantiser may be refused, as `TokError`. */
function readAll(file: TensorFile): void {
	for (const [name, { byteLength }] of file.tensors) {
		expect(file.readBytes(name)).toHaveLength(byteLength);
		try {
			expect(file.read(name).byteLength).toBeLessThanOrEqual(byteLength * largestGrowth);
		} catch (error) {
			if (!TokError.isInstance(error) || !/in one of the types/.test(error.message)) throw error;
		}
	}
	file.close();
}

const extremes: readonly bigint[] = [
	...[0n, 1n, 255n, 256n, 2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n],
	...[2n ** 53n - 1n, 2n ** 53n, 2n ** 62n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n],
];

/** One to three of: flipped bits, a cut, an overwritten word of eight bytes, a piece of the file moved over another. */
function damage(whole: Uint8Array, random: (below: number) => number): Uint8Array {
	let bytes = whole.slice();
	for (let count = 1 + random(3); count > 0; count--) {
		const kind = random(5);
		if (kind === 0) {
			for (let flips = 1 + random(8); flips > 0; flips--) {
				const at = random(bytes.length);
				bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
			}
		} else if (kind === 1) bytes = bytes.slice(0, random(bytes.length + 1));
		else if (kind === 2 && bytes.length >= 8) {
			const value = extremes[random(extremes.length)] ?? 0n;
			new DataView(bytes.buffer).setBigUint64(random(bytes.length - 7), value, true);
		} else if (kind === 3) bytes.copyWithin(random(bytes.length), random(bytes.length), random(bytes.length));
		else bytes[random(bytes.length)] = random(256);
	}
	return bytes;
}

/** mulberry32: seeded, so that a failure can be repeated. */
function generator(seed: number): (below: number) => number {
	let state = seed;
	return (below) => {
		state = (state + 0x6d2b79f5) | 0;
		let mixed = Math.imul(state ^ (state >>> 15), state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return below === 0 ? 0 : ((mixed ^ (mixed >>> 14)) >>> 0) % below;
	};
}
