/**
 * The types with one scale per 32 elements: Q4_0, Q4_1, Q5_0, Q5_1, Q8_0. Source: ggml's `block_q4_0` to `block_q8_0`
 * (ggml-common.h). d and m are halves; nibble byte j holds element j below and element j + 16 above; bit j of the
 * little-endian word `high` is the fifth bit of element j.
 *
 * type  bytes  fields                               value
 * Q4_0  18     d[2] nibbles[16]                     d · (q − 8)
 * Q4_1  20     d[2] m[2] nibbles[16]                d · q + m
 * Q5_0  22     d[2] high[4] nibbles[16]             d · (q − 16)
 * Q5_1  24     d[2] m[2] high[4] nibbles[16]        d · q + m
 * Q8_0  34     d[2] q[32] (int8)                    d · q
 *
 * The products are exact in float64, and in float32 unless they underflow: each element is rounded once.
 */
import { halfAt } from "./half.ts";

export function dequantizeQ4_0(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 18, o += 32) {
		const d = halfAt(bytes, at);
		for (let j = 0; j < 16; j++) {
			const pair = bytes[at + 2 + j] as number;
			out[o + j] = d * ((pair & 15) - 8);
			out[o + j + 16] = d * ((pair >> 4) - 8);
		}
	}
}

export function dequantizeQ4_1(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 20, o += 32) {
		const d = halfAt(bytes, at);
		const m = halfAt(bytes, at + 2);
		for (let j = 0; j < 16; j++) {
			const pair = bytes[at + 4 + j] as number;
			out[o + j] = d * (pair & 15) + m;
			out[o + j + 16] = d * (pair >> 4) + m;
		}
	}
}

export function dequantizeQ5_0(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 22, o += 32) {
		const d = halfAt(bytes, at);
		const high = wordAt(bytes, at + 2);
		for (let j = 0; j < 16; j++) {
			const pair = bytes[at + 6 + j] as number;
			out[o + j] = d * (((pair & 15) | (((high >>> j) & 1) << 4)) - 16);
			out[o + j + 16] = d * (((pair >> 4) | (((high >>> (j + 16)) & 1) << 4)) - 16);
		}
	}
}

export function dequantizeQ5_1(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 24, o += 32) {
		const d = halfAt(bytes, at);
		const m = halfAt(bytes, at + 2);
		const high = wordAt(bytes, at + 4);
		for (let j = 0; j < 16; j++) {
			const pair = bytes[at + 8 + j] as number;
			out[o + j] = d * ((pair & 15) | (((high >>> j) & 1) << 4)) + m;
			out[o + j + 16] = d * ((pair >> 4) | (((high >>> (j + 16)) & 1) << 4)) + m;
		}
	}
}

export function dequantizeQ8_0(bytes: Uint8Array, out: Float32Array): void {
	const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
	for (let at = 0, o = 0; o < out.length; at += 34, o += 32) {
		const d = halfAt(bytes, at);
		for (let j = 0; j < 32; j++) out[o + j] = d * (signed[at + 2 + j] as number);
	}
}

function wordAt(bytes: Uint8Array, offset: number): number {
	return (
		(bytes[offset] as number) |
		((bytes[offset + 1] as number) << 8) |
		((bytes[offset + 2] as number) << 16) |
		((bytes[offset + 3] as number) << 24)
	);
}
