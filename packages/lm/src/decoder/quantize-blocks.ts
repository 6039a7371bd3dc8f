/**
 * Weights in the layout of onnxruntime's MatMulNBits and GatherBlockQuantized: bytes around 128, in blocks of 32
 * or 16 along a row, with one float32 scale a block. Q4_0 stays what it is, 4 bits around 8.
 * https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 *
 * Activations are rounded to 8 bits in blocks of the same size, so smaller blocks than the file's serve them (`inHalves`).
 * A quantised weight is not rounded a second time where that can be helped: a block of a GGUF type holds points of a
 * lattice d · q + m, and the scale is chosen so that those points are bytes.
 */
import { halfAt } from "../formats/dequantize/half.ts";
import { tensorTypeInfo } from "../formats/dequantize/tensor-types.ts";
import type { TensorFile, TensorInfo } from "../formats/tensor-file.ts";
import { type Carry, carriers, keepNibbles } from "./carry-blocks.ts";
import type { WeightMemory } from "./weight-memory.ts";
import type { StoredMatrix } from "./weights.ts";

/** Types with a lattice for every 16 weights; what spans 32 of these is on none. */
const GROUPS_OF_16: ReadonlySet<string> = new Set(["Q2_K", "Q3_K", "Q6_K"]);
/** The byte that stands for 0, by the operators' default. */
const ZERO = 128;
const LARGEST = 127;

export interface QuantizedMatrix {
	readonly bits: 4 | 8;
	/** 16 or 32 */
	readonly blockSize: number;
	/** [rows, blocks, blockSize · bits / 8], the first code in the low bits */
	readonly codes: Uint8Array;
	/** [rows, blocks] */
	readonly scales: Float32Array;
	readonly rows: number;
	readonly blocks: number;
}

/**
 * Stacks matrices of equal width and quantises them, into `memory`. Types in `carry` go straight from their bytes;
 * without any, all go through their weights and become bytes, which is the plain form.
 */
export function quantizeMatrices(
	file: TensorFile,
	matrices: readonly StoredMatrix[],
	memory: WeightMemory,
	carry: typeof carriers = carriers,
): QuantizedMatrix {
	const columns = matrices[0]?.columns ?? 0;
	const rows = matrices.reduce((sum, matrix) => sum + matrix.rows, 0);
	const blockSize = matrices.some(({ info }) => GROUPS_OF_16.has(info.type)) ? 16 : 32;
	const blocks = Math.ceil(columns / blockSize);
	// A product reads all of a matrix: half the bytes take up to a third less time for a single row.
	const bits = carry.Q4_0 !== undefined && matrices.every(({ info }) => info.type === "Q4_0") ? 4 : 8;
	const width = (blocks * blockSize * bits) / 8;
	const codes = memory.bytes(rows * width);
	const scales = memory.floats(rows * blocks);
	let row = 0;
	for (const { info, rows: count } of matrices) {
		const target = {
			blockSize,
			codes: codes.subarray(row * width, (row + count) * width),
			scales: scales.subarray(row * blocks, (row + count) * blocks),
		};
		const straight = blockSize === 32 ? carry[info.type] : undefined;
		if (bits === 4) carryOver(file, info, target, keepNibbles);
		else if (straight !== undefined) carryOver(file, info, target, straight);
		else quantizeRows(file.read(info.name), columns, target, latticeSteps(file, info));
		row += count;
	}
	return { bits, blockSize, codes, scales, rows, blocks };
}

/**
 * The same weights in blocks of 16, whose codes are the same and whose scales come twice: activations are then rounded by
 * the largest of 16. The matrix itself where blocks are that small already, or a row's last one does not have two halves.
 */
export function inHalves(matrix: QuantizedMatrix, columns: number, memory: WeightMemory): QuantizedMatrix {
	const { blockSize, blocks, scales } = matrix;
	if (blockSize === 16 || columns % blockSize !== 0) return matrix;
	const twice = memory.floats(2 * scales.length);
	for (let i = 0; i < twice.length; i++) twice[i] = scales[i >> 1] as number;
	return { ...matrix, blockSize: 16, blocks: 2 * blocks, scales: twice };
}

/** Bytes read at a time: large buffers that come and go leave the process larger than small ones. */
const PIECE = 2 ** 20;

/** A tensor that is carried over block by block, a piece at a time. */
function carryOver(file: TensorFile, info: TensorInfo, { codes, scales }: Target, carry: Carry): void {
	const stride = info.byteLength / scales.length;
	const width = codes.length / scales.length;
	const most = Math.max(1, Math.floor(PIECE / stride));
	for (let from = 0; from < scales.length; from += most) {
		const to = Math.min(from + most, scales.length);
		const target = { codes: codes.subarray(from * width, to * width), scales: scales.subarray(from, to) };
		carry(file.readBytes(info.name, from * stride, to * stride), target, blockScale);
	}
}

/** Where one matrix of the stack goes. */
interface Target {
	readonly blockSize: number;
	readonly codes: Uint8Array;
	readonly scales: Float32Array;
}

/** Step of the lattice on which `span` neighbouring weights lie, for every such span of a tensor. */
interface LatticeSteps {
	readonly span: number;
	readonly steps: Float32Array;
}

/** GGUF types whose blocks begin with the step of their lattice, a half. */
const STEP_FIRST: ReadonlySet<string> = new Set(["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "IQ4_NL"]);

/** The steps that a tensor's bytes name outright. Undefined for other types: then they are found in the weights. */
function latticeSteps(file: TensorFile, { name, type }: TensorInfo): LatticeSteps | undefined {
	const info = tensorTypeInfo(type);
	if (info === undefined || !STEP_FIRST.has(type)) return undefined;
	const { blockSize, blockBytes } = info;
	const bytes = file.readBytes(name);
	const steps = new Float32Array(bytes.length / blockBytes);
	for (let block = 0; block < steps.length; block++) steps[block] = halfAt(bytes, block * blockBytes);
	return { span: blockSize, steps };
}

/** weights [rows, columns] → codes and scales. A row's last block is filled up with zeros. */
function quantizeRows(
	weights: Float32Array,
	columns: number,
	{ blockSize, codes, scales }: Target,
	lattice?: LatticeSteps,
): void {
	const blocks = Math.ceil(columns / blockSize);
	const sorted = new Float64Array(blockSize);
	for (let index = 0; index < scales.length; index++) {
		const row = Math.floor(index / blocks);
		const from = row * columns + (index - row * blocks) * blockSize;
		const to = Math.min(from + blockSize, (row + 1) * columns);
		let least = weights[from] as number;
		let most = least;
		for (let i = from + 1; i < to; i++) {
			const weight = weights[i] as number;
			if (weight < least) least = weight;
			else if (weight > most) most = weight;
		}
		const step = lattice
			? lattice.steps[Math.floor(from / lattice.span)]
			: findStep(weights, from, to, sorted);
		const scale = Math.fround(blockScale(least, most, step ?? 0));
		scales[index] = scale;
		const inverse = scale === 0 ? 0 : 1 / scale;
		const start = index * blockSize - from;
		// Codes are positive, so that adding a half and cutting off rounds.
		for (let i = from; i < to; i++) codes[start + i] = (weights[i] as number) * inverse + (ZERO + 0.5);
		if (to < from + blockSize) codes.fill(ZERO, start + to, start + from + blockSize);
	}
}

/** The scale of one block: a fraction of its lattice's step when that is closer, else a 127th of its largest weight. */
function blockScale(least: number, most: number, step: number): number {
	const largest = Math.max(-least, most);
	const size = Math.abs(step);
	// Rounding to 127ths errs by √(1/12) of one, root mean square.
	const limit = (largest / LARGEST) * Math.sqrt(1 / 12);
	const parts =
		size === 0 ? undefined : fraction(least / size, Math.round((most - least) / size), limit / size);
	return parts === undefined ? largest / LARGEST : size / parts;
}

/** The step of the lattice on which the weights lie; 0 when there is none that bytes could hold. */
function findStep(weights: Float32Array, from: number, to: number, sorted: Float64Array): number {
	const count = to - from;
	sort(weights, from, count, sorted);
	const least = sorted[0] as number;
	const most = sorted[count - 1] as number;
	// What two equal points may differ by after rounding to float32.
	const noise = Math.max(-least, most) * 1e-6;
	let gap = Number.POSITIVE_INFINITY;
	for (let i = 1; i < count; i++) {
		const difference = (sorted[i] as number) - (sorted[i - 1] as number);
		if (difference > noise && difference < gap) gap = difference;
	}
	if (gap === Number.POSITIVE_INFINITY) return 0;
	// The smallest distance is one step, or a few where no two weights are neighbours.
	for (let parts = 1; (most - least) * parts <= 2 * LARGEST * gap * 1.001; parts++) {
		const levels = Math.round(((most - least) / gap) * parts);
		const step = (most - least) / levels;
		if (levels > 0 && liesOn(sorted, count, step)) return step;
	}
	return 0;
}

/** Whether the distances of the sorted weights from the first one are multiples of `step`. */
function liesOn(sorted: Float64Array, count: number, step: number): boolean {
	const least = sorted[0] as number;
	for (let i = 1; i < count; i++) {
		const point = ((sorted[i] as number) - least) / step;
		if (Math.abs(point - Math.round(point)) > 0.01) return false;
	}
	return true;
}

/** Insertion sort of weights[from, from + count) into `sorted`: the fastest for a block, by a factor of three. */
function sort(weights: Float32Array, from: number, count: number, sorted: Float64Array): void {
	for (let i = 0; i < count; i++) {
		const weight = weights[from + i] as number;
		let j = i;
		for (; j > 0 && (sorted[j - 1] as number) > weight; j--) sorted[j] = sorted[j - 1] as number;
		sorted[j] = weight;
	}
}

/**
 * Into how many parts a lattice's step is divided so that its points, (ratio + 0…levels) steps from zero, come
 * closest to bytes: one part when it meets zero, as every symmetric type does; undefined when zero is too far away,
 * or when all points are off by `limit` steps or more.
 */
function fraction(ratio: number, levels: number, limit: number): number | undefined {
	let best: number | undefined;
	let least = limit;
	for (let parts = 1; parts <= LARGEST; parts++) {
		const offset = Math.floor(ratio * parts + 0.5);
		if (offset < -LARGEST || offset + levels * parts > LARGEST) break;
		const error = Math.abs(ratio - offset / parts);
		if (error < least) {
			least = error;
			best = parts;
			// Closer than float32 shows.
			if (error < 1e-5) break;
		}
	}
	return best;
}
