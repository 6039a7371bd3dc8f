/**
 * The K types: 256 elements share the half d (and, where there is an offset, dmin); smaller groups have integer
 * scales of their own. Source: ggml's `block_q2_K` to `block_q6_K` (ggml-common.h).
 *
 * type  bytes  fields                                                 value
 * Q2_K  84     scales[16] low[64] d[2] dmin[2]                        d·s·q − dmin·m, groups of 16, s and m 4 bits
 * Q3_K  110    high[32] low[64] scales[12] d[2]                       d·(s − 32)·(q − 4), groups of 16, s 6 bits
 * Q4_K  144    d[2] dmin[2] scales[12] low[128]                       d·s·q − dmin·m, groups of 32, s and m 6 bits
 * Q5_K  176    d[2] dmin[2] scales[12] high[32] low[128]              as Q4_K
 * Q6_K  210    low[128] high[64] scales[16] (int8) d[2]               d·s·(q − 32), groups of 16
 *
 * Elements come in runs of 32 whose bits lie at one shift of the same bytes. Q2_K, Q3_K: run r has the bits 2(r mod 4)
 * of low bytes 32⌊r/4⌋…; Q4_K, Q5_K: the lower (even r) or upper nibbles of low bytes 32⌊r/2⌋…; Q6_K: runs 0, 1 (2, 3)
 * of each half are the lower (upper) nibbles of its 64 bytes, with two more bits from `high` as in Q2_K.
 * In Q3_K and Q5_K the high bit of element l of run r is bit r of high byte l.
 */
import { halfAt } from "./half.ts";

export function dequantizeQ2_K(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 84) {
		const d = halfAt(bytes, at + 80);
		const dmin = halfAt(bytes, at + 82);
		for (let group = 0; group < 16; group++, o += 16) {
			const scales = bytes[at + group] as number;
			const scale = d * (scales & 15);
			const minimum = dmin * (scales >> 4);
			const low = at + 16 + 32 * (group >> 3) + 16 * (group & 1);
			const shift = group & 6;
			for (let j = 0; j < 16; j++) {
				out[o + j] = scale * (((bytes[low + j] as number) >> shift) & 3) - minimum;
			}
		}
	}
}

export function dequantizeQ3_K(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 110) {
		const d = halfAt(bytes, at + 108);
		for (let group = 0; group < 16; group++, o += 16) {
			// Four bits of scale s are a nibble of scale byte s mod 8, the two above them lie in byte 8 + s mod 4.
			const lowBits = (bytes[at + 96 + (group & 7)] as number) >> (group < 8 ? 0 : 4);
			const highBits = (bytes[at + 104 + (group & 3)] as number) >> (2 * (group >> 2));
			const scale = d * (((lowBits & 15) | ((highBits & 3) << 4)) - 32);
			const low = at + 32 + 32 * (group >> 3) + 16 * (group & 1);
			const high = at + 16 * (group & 1);
			const shift = group & 6;
			const bit = group >> 1;
			for (let j = 0; j < 16; j++) {
				const q =
					(((bytes[low + j] as number) >> shift) & 3) | ((((bytes[high + j] as number) >> bit) & 1) << 2);
				out[o + j] = scale * (q - 4);
			}
		}
	}
}

export function dequantizeQ4_K(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 144) {
		const d = halfAt(bytes, at);
		const dmin = halfAt(bytes, at + 2);
		for (let run = 0; run < 8; run++, o += 32) {
			const scale = d * sixBitScale(bytes, at + 4, run);
			const minimum = dmin * sixBitMinimum(bytes, at + 4, run);
			const low = at + 16 + 32 * (run >> 1);
			const shift = 4 * (run & 1);
			for (let j = 0; j < 32; j++) {
				out[o + j] = scale * (((bytes[low + j] as number) >> shift) & 15) - minimum;
			}
		}
	}
}

export function dequantizeQ5_K(bytes: Uint8Array, out: Float32Array): void {
	for (let at = 0, o = 0; o < out.length; at += 176) {
		const d = halfAt(bytes, at);
		const dmin = halfAt(bytes, at + 2);
		for (let run = 0; run < 8; run++, o += 32) {
			const scale = d * sixBitScale(bytes, at + 4, run);
			const minimum = dmin * sixBitMinimum(bytes, at + 4, run);
			const high = at + 16;
			const low = at + 48 + 32 * (run >> 1);
			const shift = 4 * (run & 1);
			for (let j = 0; j < 32; j++) {
				const q =
					(((bytes[low + j] as number) >> shift) & 15) | ((((bytes[high + j] as number) >> run) & 1) << 4);
				out[o + j] = scale * q - minimum;
			}
		}
	}
}

export function dequantizeQ6_K(bytes: Uint8Array, out: Float32Array): void {
	const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
	for (let at = 0, o = 0; o < out.length; at += 210) {
		const d = halfAt(bytes, at + 208);
		for (let group = 0; group < 16; group++, o += 16) {
			// d · s has 19 significant bits: exact in float32, so that each element is rounded once.
			const scale = d * (signed[at + 192 + group] as number);
			const half = group >> 3;
			const low = at + 64 * half + 16 * (group & 3);
			const lowShift = group & 4;
			const high = at + 128 + 32 * half + 16 * (group & 1);
			const highShift = group & 6;
			for (let j = 0; j < 16; j++) {
				const lowBits = ((bytes[low + j] as number) >> lowShift) & 15;
				const highBits = ((bytes[high + j] as number) >> highShift) & 3;
				out[o + j] = scale * ((lowBits | (highBits << 4)) - 32);
			}
		}
	}
}

/**
 * Q4_K and Q5_K pack eight 6-bit scales and eight 6-bit minima into 12 bytes: 0..3 hold the first four scales in their
 * low six bits, 4..7 the first four minima; 8..11 hold the low nibbles of the last four (scale below, minimum above),
 * whose upper two bits are the upper two bits of bytes 0..3 (scales) and 4..7 (minima).
 */
function sixBitScale(bytes: Uint8Array, at: number, index: number): number {
	if (index < 4) return (bytes[at + index] as number) & 63;
	return ((bytes[at + index + 4] as number) & 15) | (((bytes[at + index - 4] as number) >> 6) << 4);
}

function sixBitMinimum(bytes: Uint8Array, at: number, index: number): number {
	if (index < 4) return (bytes[at + index + 4] as number) & 63;
	return ((bytes[at + index + 4] as number) >> 4) | (((bytes[at + index] as number) >> 6) << 4);
}
