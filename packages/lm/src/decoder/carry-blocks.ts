/**
 * The common GGUF types straight from their bytes to MatMulNBits' blocks of 32 codes: what `quantize-blocks.ts` makes of
 * their weights, without the weights. A block has at most 16 different values (Q8_0: bytes already), so a table of
 * them replaces 32 roundings. Layouts: `../formats/dequantize/blocks-of-32.ts`.
 */
import { halfAt } from "../formats/dequantize/half.ts";

/** Blocks of one tensor, in the file's order, which is the product's. */
export interface CarriedBlocks {
	/** [blocks, 32], or [blocks, 16] in 4 bits */
	readonly codes: Uint8Array;
	/** [blocks] */
	readonly scales: Float32Array;
}

/** The scale for weights between `least` and `most` on a lattice with this step. */
export type BlockScale = (least: number, most: number, step: number) => number;

/** Whole blocks from their bytes. */
export type Carry = (bytes: Uint8Array, target: CarriedBlocks, blockScale: BlockScale) => void;

/** By type; a type without one goes through its weights. */
export const carriers: Readonly<Partial<Record<string, Carry>>> = {
	Q4_0: (bytes, target, blockScale) => carryNibbles(bytes, target, blockScale, 18, false),
	Q4_1: (bytes, target, blockScale) => carryNibbles(bytes, target, blockScale, 20, true),
	Q8_0: carryBytes,
};

/** Q4_0 as it is, d · (q − 8), in the product's order: element 2j lies below element 2j + 1. */
export const keepNibbles: Carry = (bytes, { codes, scales }) => {
	for (let block = 0, at = 0, o = 0; block < scales.length; block++, at += 18, o += 16) {
		scales[block] = halfAt(bytes, at);
		for (let j = 0; j < 8; j++) {
			const even = bytes[at + 2 + 2 * j] as number;
			const odd = bytes[at + 3 + 2 * j] as number;
			codes[o + j] = (even & 15) | ((odd & 15) << 4);
			codes[o + j + 8] = (even >> 4) | (odd & 240);
		}
	}
};

/** d · (q − 8) or d · q + m: nibble byte j holds element j below and element j + 16 above. */
function carryNibbles(
	bytes: Uint8Array,
	{ codes, scales }: CarriedBlocks,
	blockScale: BlockScale,
	stride: number,
	hasMinimum: boolean,
): void {
	const table = new Uint8Array(16);
	for (let block = 0, at = 0, o = 0; block < scales.length; block++, at += stride, o += 32) {
		const step = halfAt(bytes, at);
		const first = hasMinimum ? halfAt(bytes, at + 2) : -8 * step;
		const last = first + 15 * step;
		const scale = Math.fround(step < 0 ? blockScale(last, first, step) : blockScale(first, last, step));
		scales[block] = scale;
		const inverse = scale === 0 ? 0 : 1 / scale;
		// Codes are positive, so that adding a half and cutting off rounds.
		const origin = first * inverse + 128.5;
		const increment = step * inverse;
		for (let q = 0; q < 16; q++) table[q] = origin + q * increment;
		const nibbles = at + stride - 16;
		for (let j = 0; j < 16; j++) {
			const pair = bytes[nibbles + j] as number;
			codes[o + j] = table[pair & 15] as number;
			codes[o + j + 16] = table[pair >> 4] as number;
		}
	}
}

/** d · q, q int8: the same bytes around 128. */
function carryBytes(bytes: Uint8Array, { codes, scales }: CarriedBlocks): void {
	for (let block = 0, at = 0, o = 0; block < scales.length; block++, at += 34, o += 32) {
		scales[block] = halfAt(bytes, at);
		codes.set(bytes.subarray(at + 2, at + 34), o);
	}
	// Two's complement to codes around 128, four at a time: the target begins at a multiple of 32.
	const words = new Uint32Array(codes.buffer, codes.byteOffset, codes.length / 4);
	for (let i = 0; i < words.length; i++) words[i] = (words[i] as number) ^ 0x80808080;
}
