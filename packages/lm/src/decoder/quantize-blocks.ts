/**
 * Weights in the layout of onnxruntime's MatMulNBits and GatherBlockQuantized: bytes around 128, in blocks of 16
 * along a row, with one float32 scale a block.
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 *
 * Blocks of 16, not 32: activations are rounded to 8 bits in blocks of the same size, and on SmolLM2 smaller blocks
 * cut that error by a fifth. A quantised weight is not rounded a second time where that can be helped: a block of
 * a GGUF type holds points of a lattice d · q + m, and the scale is chosen so that those points are bytes.
 */
import type { TensorFile } from "../formats/tensor-file.ts";
import type { StoredMatrix } from "./weights.ts";

export const BLOCK = 16;
/** The byte that stands for 0, by the operators' default. */
const ZERO = 128;
const LARGEST = 127;

export interface QuantizedMatrix {
	/** [rows, blocks, BLOCK] */
	readonly codes: Uint8Array;
	/** [rows, blocks] */
	readonly scales: Float32Array;
	readonly rows: number;
	readonly columns: number;
}

/** Stacks matrices of equal width and quantises them. */
export function quantizeMatrices(file: TensorFile, matrices: readonly StoredMatrix[]): QuantizedMatrix {
	const columns = matrices[0]?.columns ?? 0;
	const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
	const blocks = Math.ceil(columns / BLOCK);
	const codes = new Uint8Array(rows * blocks * BLOCK);
	const scales = new Float32Array(rows * blocks);
	let row = 0;
	for (const { info, rows: count } of matrices) {
		const target = {
			codes: codes.subarray(row * blocks * BLOCK, (row + count) * blocks * BLOCK),
			scales: scales.subarray(row * blocks, (row + count) * blocks),
		};
		quantizeRows(file.read(info.name), columns, target);
		row += count;
	}
	return { codes, scales, rows, columns };
}

interface Target {
	readonly codes: Uint8Array;
	readonly scales: Float32Array;
}

/** weights [rows, columns] → codes and scales. A row's last block is filled up with zeros. */
export function quantizeRows(weights: Float32Array, columns: number, { codes, scales }: Target): void {
	const blocks = Math.ceil(columns / BLOCK);
	const sorted = new Float32Array(BLOCK);
	for (let index = 0; index < scales.length; index++) {
		const row = Math.floor(index / blocks);
		const from = row * columns + (index - row * blocks) * BLOCK;
		const to = Math.min(from + BLOCK, (row + 1) * columns);
		const scale = blockScale(weights, from, to, sorted);
		scales[index] = scale;
		const inverse = scale === 0 ? 0 : 1 / scale;
		const start = index * BLOCK - from;
		for (let i = from; i < to; i++) codes[start + i] = Math.round((weights[i] as number) * inverse) + ZERO;
		codes.fill(ZERO, start + to, start + from + BLOCK);
	}
}

/** The scale of one block: a fraction of its lattice's step when it has one, else a 127th of its largest weight. */
function blockScale(weights: Float32Array, from: number, to: number, sorted: Float32Array): number {
	const count = to - from;
	sort(weights, from, count, sorted);
	const least = sorted[0] as number;
	const most = sorted[count - 1] as number;
	const largest = Math.max(-least, most);
	let gap = Number.POSITIVE_INFINITY;
	// What two equal points may differ by after rounding to float32.
	const noise = largest * 1e-6;
	for (let i = 1; i < count; i++) {
		const difference = (sorted[i] as number) - (sorted[i - 1] as number);
		if (difference > noise && difference < gap) gap = difference;
	}
	const levels = Math.round((most - least) / gap);
	if (!(levels >= 1 && levels <= 2 * LARGEST)) return largest / LARGEST;
	const step = (most - least) / levels;
	for (let i = 0; i < count; i++) {
		const point = ((sorted[i] as number) - least) / step;
		if (Math.abs(point - Math.round(point)) > 0.01) return largest / LARGEST;
	}
	const parts = fraction(least / step, levels);
	return parts === undefined ? largest / LARGEST : step / parts;
}

/**
 * Into how many parts a lattice's step is divided so that its points, (ratio + 0…levels) steps from zero, come
 * closest to bytes: one part when it meets zero, as every symmetric type does; undefined when zero is too far away.
 */
function fraction(ratio: number, levels: number): number | undefined {
	let best: number | undefined;
	let least = Number.POSITIVE_INFINITY;
	for (let parts = 1; parts <= LARGEST; parts++) {
		const offset = Math.round(ratio * parts);
		if (offset < -LARGEST || offset + levels * parts > LARGEST) break;
		const error = Math.abs(ratio - offset / parts);
		// A finer fraction has to be better by more than rounding.
		if (error < least - 1e-5) {
			least = error;
			best = parts;
		}
	}
	return best;
}

/** Insertion sort of weights[from, from + count) into `sorted`: the blocks are short. */
function sort(weights: Float32Array, from: number, count: number, sorted: Float32Array): void {
	for (let i = 0; i < count; i++) {
		const weight = weights[from + i] as number;
		let j = i;
		while (j > 0 && (sorted[j - 1] as number) > weight) {
			sorted[j] = sorted[j - 1] as number;
			j--;
		}
		sorted[j] = weight;
	}
}
