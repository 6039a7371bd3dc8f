/**
 * Rows of an archive file in 4 bits: two codes in a byte and a scale, float16, for each entry and head, 34 bytes for 64
 * numbers. A few channels of a key are many times as large as the others and would take all of a row's 16 levels, so a
 * row is turned first by an orthogonal matrix that spreads each number over all of them, and turned back when it is read:
 * Hadamard's, of entries ±1/√n (QuaRot, arXiv 2404.00456, §4). It halves the error of keys (docs/memory.md).
 *
 *   turned = H · row, in pieces of the largest power of two that divides the row
 *   scale  = t / −8 for the t of the largest |t|, which so gets the lattice's one point more (as ggml's Q4_0)
 *   code   = t / scale + 8, to the nearest of 0 … 15; code j below code j + headDim / 2 in byte j
 */
import { halfToNumber } from "../formats/dequantize/half.ts";
import { numberToHalf } from "../formats/quantize/number-to-half.ts";

/** Bytes of so many rows. The rows are of an even length, as rotated keys are. */
export function nibbleBytes(rows: number, headDim: number): number {
	return rows * (headDim / 2 + Uint16Array.BYTES_PER_ELEMENT);
}

/** Rows [n, headDim] as pairs of codes, uint8 [n, headDim / 2], then scales, float16 [n]. */
export function encodeNibbles(rows: Float32Array, headDim: number): Uint8Array {
	const count = rows.length / headDim;
	const half = headDim / 2;
	const codes = new Uint8Array(count * half);
	const scales = new Uint16Array(count);
	const row = new Float64Array(headDim);
	for (let i = 0; i < count; i++) {
		row.set(rows.subarray(i * headDim, (i + 1) * headDim));
		turn(row);
		const extreme = row.reduce((most, t) => (Math.abs(t) > Math.abs(most) ? t : most), 0);
		// Zero without a sign, which would be given to the zeros that are read.
		const stored = numberToHalf(extreme / -8 + 0);
		scales[i] = stored;
		// By the scale as it is stored, so that what was read from here has the same codes again.
		const scale = halfToNumber(stored);
		const inverse = scale === 0 ? 0 : 1 / scale;
		const code = (j: number): number =>
			Math.min(15, Math.max(0, Math.round((row[j] as number) * inverse) + 8));
		for (let j = 0; j < half; j++) codes[i * half + j] = code(j) | (code(j + half) << 4);
	}
	const bytes = new Uint8Array(nibbleBytes(count, headDim));
	bytes.set(codes);
	bytes.set(new Uint8Array(scales.buffer), codes.length);
	return bytes;
}

/** The reverse: float32 [n, headDim]. */
export function decodeNibbles(bytes: Uint8Array, headDim: number): Float32Array {
	const count = bytes.length / nibbleBytes(1, headDim);
	const half = headDim / 2;
	const scales = new Uint16Array(bytes.slice(count * half).buffer);
	const rows = new Float32Array(count * headDim);
	const row = new Float64Array(headDim);
	for (let i = 0; i < count; i++) {
		const scale = halfToNumber(scales[i] as number);
		for (let j = 0; j < half; j++) {
			const pair = bytes[i * half + j] as number;
			row[j] = ((pair & 15) - 8) * scale;
			row[j + half] = ((pair >> 4) - 8) * scale;
		}
		turn(row);
		rows.set(row, i * headDim);
	}
	return rows;
}

/** H · row, in place. H is its own inverse. */
function turn(row: Float64Array): void {
	const size = row.length & -row.length;
	const unit = 1 / Math.sqrt(size);
	for (let stride = 1; stride < size; stride *= 2)
		for (let i = 0; i < row.length; i++) {
			if ((i & stride) !== 0) continue;
			const [a, b] = [row[i] as number, row[i + stride] as number];
			row[i] = a + b;
			row[i + stride] = a - b;
		}
	for (let i = 0; i < row.length; i++) row[i] = (row[i] as number) * unit;
}
