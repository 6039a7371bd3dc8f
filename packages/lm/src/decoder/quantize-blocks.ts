/**
 * Weights in the layout of onnxruntime's MatMulNBits and GatherBlockQuantized: unsigned integers around a fixed
 * zero point, in blocks of 32 along a row, with one float32 scale a block.
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 *
 * Q8_0 and Q4_0 carry over exactly: their blocks are the same numbers in another order. Every other type is
 * dequantised and rounded to 8 bits, with an error of at most 1/254 of a block's largest weight.
 */
import type { TensorFile } from "../formats/tensor-file.ts";
import type { StoredMatrix } from "./weights.ts";

export const BLOCK = 32;

export interface QuantizedMatrix {
	readonly bits: 4 | 8;
	/** [rows, blocks, BLOCK · bits / 8] */
	readonly codes: Uint8Array;
	/** [rows, blocks] */
	readonly scales: Float32Array;
	readonly rows: number;
	readonly columns: number;
}

/** Stacks matrices of equal width and quantises them: in 4 bits when all are Q4_0, in 8 bits otherwise. */
export function quantizeMatrices(file: TensorFile, matrices: readonly StoredMatrix[]): QuantizedMatrix {
	const columns = matrices[0]?.columns ?? 0;
	const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
	const blocks = Math.ceil(columns / BLOCK);
	const bits = matrices.every(({ info }) => info.type === "Q4_0") ? 4 : 8;
	const codes = new Uint8Array((rows * blocks * BLOCK * bits) / 8);
	const scales = new Float32Array(rows * blocks);
	let row = 0;
	for (const matrix of matrices) {
		const target = {
			codes: codes.subarray((row * blocks * BLOCK * bits) / 8),
			scales: scales.subarray(row * blocks),
		};
		const { type, name } = matrix.info;
		if (bits === 4) repackQ4(file.readBytes(name), matrix.rows * blocks, target);
		else if (type === "Q8_0") repackQ8(file.readBytes(name), matrix.rows * blocks, target);
		else roundToBytes(file.read(name), matrix.rows, columns, target);
		row += matrix.rows;
	}
	return { bits, codes, scales, rows, columns };
}

interface Target {
	readonly codes: Uint8Array;
	readonly scales: Float32Array;
}

/** Q8_0: a float16 scale, then 32 signed bytes. */
function repackQ8(bytes: Uint8Array, blocks: number, { codes, scales }: Target): void {
	for (let block = 0; block < blocks; block++) {
		const from = block * 34;
		scales[block] = float16((bytes[from] as number) | ((bytes[from + 1] as number) << 8));
		for (let i = 0; i < BLOCK; i++) codes[block * BLOCK + i] = (bytes[from + 2 + i] as number) ^ 0x80; // + 128
	}
}

/** Q4_0: a float16 scale, then 16 bytes; byte i holds weight i in its low half and weight i + 16 in its high half. */
function repackQ4(bytes: Uint8Array, blocks: number, { codes, scales }: Target): void {
	for (let block = 0; block < blocks; block++) {
		const from = block * 18;
		scales[block] = float16((bytes[from] as number) | ((bytes[from + 1] as number) << 8));
		for (let i = 0; i < 8; i++) {
			const even = bytes[from + 2 + 2 * i] as number;
			const odd = bytes[from + 3 + 2 * i] as number;
			codes[block * 16 + i] = (even & 15) | ((odd & 15) << 4);
			codes[block * 16 + 8 + i] = (even >> 4) | (odd & 0xf0);
		}
	}
}

/** Rounds each block to 255 levels around 128. A row's last block is filled up with zeros. */
export function roundToBytes(weights: Float32Array, rows: number, columns: number, target: Target): void {
	const { codes, scales } = target;
	const blocks = Math.ceil(columns / BLOCK);
	for (let row = 0; row < rows; row++)
		for (let block = 0; block < blocks; block++) {
			const from = row * columns + block * BLOCK;
			const to = Math.min(from + BLOCK, (row + 1) * columns);
			let largest = 0;
			for (let i = from; i < to; i++) largest = Math.max(largest, Math.abs(weights[i] as number));
			const index = row * blocks + block;
			scales[index] = largest / 127;
			const inverse = largest === 0 ? 0 : 127 / largest;
			const start = index * BLOCK;
			for (let i = from; i < to; i++) codes[start + i - from] = Math.round((weights[i] as number) * inverse) + 128;
			codes.fill(128, start + to - from, start + BLOCK);
		}
}

/** IEEE 754 binary16 → number. */
function float16(bits: number): number {
	const sign = bits & 0x8000 ? -1 : 1;
	const exponent = (bits >> 10) & 31;
	const fraction = bits & 1023;
	if (exponent === 0) return sign * fraction * 2 ** -24;
	if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
	return sign * (1 + fraction / 1024) * 2 ** (exponent - 15);
}
