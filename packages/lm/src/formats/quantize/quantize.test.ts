/** Quantising is the inverse of reading: gguf-py's bytes come back from their own weights. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { Random } from "../../sampling/random.ts";
import { halfToNumber } from "../dequantize/half.ts";
import { tensorTypes } from "../dequantize/tensor-types.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "./blocks-of-32.ts";
import { numberToHalf } from "./number-to-half.ts";

const { cases } = JSON.parse(
	readFileSync(new URL("../../../../../goldens/dequant.json", import.meta.url), "utf8"),
) as { readonly cases: readonly { type: string; shape: number[]; bytes: string; float32: string }[] };

const quantizers = {
	Q4_0: { quantize: quantizeQ4_0, bytes: 18, step: 1 / 8 },
	Q8_0: { quantize: quantizeQ8_0, bytes: 34, step: 1 / 127 },
} as const;

describe.each(["Q4_0", "Q8_0"] as const)("%s", (type) => {
	const { quantize, bytes: blockBytes, step } = quantizers[type];

	test("the golden's bytes come back from its weights", () => {
		const golden = cases.find((each) => each.type === type);
		const weights = new Float32Array(new Uint8Array(Buffer.from(golden?.float32 ?? "", "base64")).buffer);
		const stored = new Uint8Array(Buffer.from(golden?.bytes ?? "", "base64"));
		const got = new Uint8Array(stored.length);
		quantize(weights, got);
		// Not bit for bit: another scale may stand for the same weights. Their values are what counts.
		const back = new Float32Array(weights.length);
		tensorTypes[type].dequantize?.(got, back);
		for (let from = 0; from < weights.length; from += 32) {
			const block = weights.subarray(from, from + 32);
			const largest = block.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
			for (const [i, weight] of block.entries())
				expect(Math.abs((back[from + i] as number) - weight)).toBeLessThanOrEqual(
					largest * step * 0.51 + 1e-9,
				);
		}
	});

	test("random weights are off by half a step at most, and zeros stay", () => {
		const random = new Random(3);
		const weights = Float32Array.from({ length: 64 * 32 }, (_, i) => (i < 32 ? 0 : random.uniform() - 0.5));
		const out = new Uint8Array(64 * blockBytes);
		quantize(weights, out);
		const back = new Float32Array(weights.length);
		tensorTypes[type].dequantize?.(out, back);
		expect([...back.subarray(0, 32)].every((weight) => weight === 0)).toBe(true);
		for (let from = 32; from < weights.length; from += 32) {
			const block = weights.subarray(from, from + 32);
			const largest = block.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
			for (const [i, weight] of block.entries()) {
				// Q4_0 has one point less on the side away from its extreme; Q8_0 rounds its scale to a half too.
				const most = type === "Q4_0" ? 1.01 : 0.57;
				expect(Math.abs((back[from + i] as number) - weight)).toBeLessThanOrEqual(largest * step * most);
			}
		}
	});
});

test("every half comes back from its number, and numbers between go to the nearest, ties to even", () => {
	for (let bits = 0; bits < 0x7c00; bits++) {
		expect(numberToHalf(halfToNumber(bits))).toBe(bits);
		if (bits === 0x7bff) continue;
		const [low, high] = [halfToNumber(bits), halfToNumber(bits + 1)];
		expect(numberToHalf(low + (high - low) * 0.49)).toBe(bits);
		expect(numberToHalf((low + high) / 2)).toBe(bits % 2 === 0 ? bits : bits + 1);
	}
	expect(numberToHalf(-1.5)).toBe(0xbe00);
	expect(numberToHalf(1e6)).toBe(0x7c00);
	expect(numberToHalf(-0)).toBe(0x8000);
	expect(numberToHalf(Number.NaN) & 0x7c00).toBe(0x7c00);
});
