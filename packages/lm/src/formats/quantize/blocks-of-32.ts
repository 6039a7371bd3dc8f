/**
 * Weights to Q8_0 and Q4_0, by ggml's rules (quantize_row_q8_0_ref, quantize_row_q4_0_ref in ggml-quants.c): the layouts
 * are those of `../dequantize/blocks-of-32.ts`.
 *
 * Q8_0   d = largest |w| / 127, q = w / d to the nearest integer.
 * Q4_0   d = w / −8 for the w with the largest |w|, which so gets the lattice's one point more; q = w / d + 8.
 */
import { numberToHalf } from "./number-to-half.ts";

const BLOCK = 32;

export function quantizeQ8_0(weights: Float32Array, out: Uint8Array): void {
	for (let from = 0, at = 0; from < weights.length; from += BLOCK, at += 34) {
		let largest = 0;
		for (let i = from; i < from + BLOCK; i++) largest = Math.max(largest, Math.abs(weights[i] as number));
		const scale = Math.fround(largest / 127);
		const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
		putHalf(out, at, scale);
		for (let i = 0; i < BLOCK; i++) out[at + 2 + i] = roundAway((weights[from + i] as number) * inverse);
	}
}

export function quantizeQ4_0(weights: Float32Array, out: Uint8Array): void {
	for (let from = 0, at = 0; from < weights.length; from += BLOCK, at += 18) {
		let extreme = 0;
		for (let i = from; i < from + BLOCK; i++) {
			const weight = weights[i] as number;
			if (Math.abs(weight) > Math.abs(extreme)) extreme = weight;
		}
		const scale = Math.fround(extreme / -8);
		const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
		putHalf(out, at, scale);
		const code = (i: number): number =>
			Math.min(15, Math.floor(Math.fround((weights[from + i] as number) * inverse) + 8.5));
		for (let j = 0; j < 16; j++) out[at + 2 + j] = code(j) | (code(j + 16) << 4);
	}
}

function putHalf(out: Uint8Array, at: number, value: number): void {
	const half = numberToHalf(value);
	out[at] = half & 255;
	out[at + 1] = half >> 8;
}

/** The nearest integer, halves away from zero, as C's roundf. */
function roundAway(value: number): number {
	return Math.sign(value) * Math.floor(Math.abs(value) + 0.5);
}
