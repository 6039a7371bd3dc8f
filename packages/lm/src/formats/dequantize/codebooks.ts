/**
 * The 4-bit types whose codes index a table of 16 values instead of standing for themselves: IQ4_NL, IQ4_XS, MXFP4.
 * Source: ggml's `block_iq4_nl`, `block_iq4_xs`, `block_mxfp4`, `kvalues_iq4nl`, `kvalues_mxfp4` (ggml-common.h);
 * MXFP4 is the OCP Microscaling format (E2M1 elements, E8M0 scale).
 *
 * type    elements  bytes  fields                                        value
 * IQ4_NL  32        18     d[2] codes[16]                                d · table[code]
 * IQ4_XS  256       136    d[2] scalesHigh[2] scalesLow[4] codes[128]    d · (s − 32) · table[code], groups of 32
 * MXFP4   32        17     e[1] codes[16]                                2^(e − 127) · table[code]
 *
 * d is a half. In each run of 32 elements, code byte j holds element j below and element j + 16 above. Scale s of
 * IQ4_XS has its low four bits in a nibble of scalesLow[⌊s/2⌋] (even below) and two more at bit 2s of scalesHigh.
 *
 * Checkpoints of gpt-oss keep MXFP4 in another order (transformers' mxfp4 integration): scales apart from codes, and
 * code byte j holds element 2j below and element 2j + 1 above.
 */
import { halfAt } from "./half.ts";

const nonLinear: Float64Array = Float64Array.of(
	...[-127, -104, -83, -65, -49, -35, -22, -10],
	...[1, 13, 25, 38, 53, 69, 89, 113],
);
const e2m1: Float64Array = Float64Array.of(0, 0.5, 1, 1.5, 2, 3, 4, 6, 0, -0.5, -1, -1.5, -2, -3, -4, -6);

export function dequantizeIQ4_NL(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 18, o += 32) {
		lookUp(bytes, at + 2, halfAt(bytes, at), nonLinear, out, o);
	}
}

export function dequantizeIQ4_XS(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 136) {
		const d = halfAt(bytes, at);
		const scalesHigh = (bytes[at + 2] as number) | ((bytes[at + 3] as number) << 8);
		for (let run = 0; run < 8; run++, o += 32) {
			const lowBits = ((bytes[at + 4 + (run >> 1)] as number) >> (4 * (run & 1))) & 15;
			const highBits = (scalesHigh >> (2 * run)) & 3;
			lookUp(bytes, at + 8 + 16 * run, d * ((lowBits | (highBits << 4)) - 32), nonLinear, out, o);
		}
	}
}

export function dequantizeMXFP4(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 17, o += 32) {
		lookUp(bytes, at + 1, 2 ** ((bytes[at] as number) - 127), e2m1, out, o);
	}
}

/** scales [n], codes [n, 16] → out [n · 32], in the order of gpt-oss's checkpoints. The lengths are not checked. */
export function dequantizeSplitMXFP4(codes: Uint8Array, scales: Uint8Array, out: Float32Array): void {
	for (let j = 0; j < codes.length; j++) {
		const scale = 2 ** ((scales[j >> 4] as number) - 127);
		const pair = codes[j] as number;
		out[2 * j] = scale * (e2m1[pair & 15] as number);
		out[2 * j + 1] = scale * (e2m1[pair >> 4] as number);
	}
}

/** out[o..o + 32) = scale · table[code], the codes being the nibbles of 16 bytes. */
function lookUp(
	bytes: Uint8Array,
	at: number,
	scale: number,
	table: Float64Array,
	out: Float32Array,
	o: number,
): void {
	for (let j = 0; j < 16; j++) {
		const pair = bytes[at + j] as number;
		out[o + j] = scale * (table[pair & 15] as number);
		out[o + j + 16] = scale * (table[pair >> 4] as number);
	}
}
