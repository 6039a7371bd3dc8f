/**
 * The experts of one layer as float32 matrices [in, out], whichever way the file keeps them:
 *
 *   transformers        experts.gate_up_proj           [experts, in, 2 · inner], gate and up taking turns
 *   published gpt-oss   experts.gate_up_proj_blocks    MXFP4 [experts, 2 · inner, in], gate and up rows taking turns
 *   GGUF                ffn_gate_exps, ffn_up_exps     [experts, inner, in], of any type
 *
 * Sources: transformers' gpt_oss and mxfp4 integration, llama.cpp's converter. One expert is dequantised at a time.
 */
import { dequantizeSplitMXFP4 } from "../formats/dequantize/codebooks.ts";
import type { Weights } from "./weights.ts";

export interface ExpertTensors {
	/** Width of an expert. */
	readonly inner: number;
	/** From hidden to inner. */
	readonly gate: ExpertMatrices;
	readonly up: ExpertMatrices;
	/** From inner to hidden. */
	readonly down: ExpertMatrices;
}

export interface ExpertMatrices {
	/** [experts, in, out] */
	readonly weight: Float32Array;
	/** [experts, out] */
	readonly bias: Float32Array;
}

export interface ExpertShape {
	/** Experts. */
	readonly count: number;
	readonly hiddenSize: number;
}

/** The experts below `prefix`, "layers.0.mlp.experts". Throws when a tensor is missing or has another shape. */
export function readExperts(stored: Weights, prefix: string, shape: ExpertShape): ExpertTensors {
	const experts = { stored, prefix, ...shape };
	if (stored.has(`${prefix}.gate_proj.weight`)) return readSeparate(experts);
	return stored.has(`${prefix}.gate_up_proj_blocks`) ? readBlocks(experts) : readInterleaved(experts);
}

interface Experts extends ExpertShape {
	readonly stored: Weights;
	readonly prefix: string;
}

/** Reads the matrix of one expert. */
type Slices = (expert: number) => Float32Array;

/** GGUF. */
function readSeparate({ stored, prefix, count, hiddenSize }: Experts): ExpertTensors {
	const inner = stored.info(`${prefix}.gate_proj.weight`).dims[1] ?? 0;
	const read = (name: string, rows: number, columns: number): ExpertMatrices => ({
		weight: transposed(slices(stored, `${prefix}.${name}.weight`, [count, rows, columns]), [
			count,
			rows,
			columns,
		]),
		bias: stored.tensor(`${prefix}.${name}.bias`, [count, rows]),
	});
	return {
		inner,
		gate: read("gate_proj", inner, hiddenSize),
		up: read("up_proj", inner, hiddenSize),
		down: read("down_proj", hiddenSize, inner),
	};
}

/** transformers, in floating point. */
function readInterleaved({ stored, prefix, count, hiddenSize }: Experts): ExpertTensors {
	const inner = innerWidth(stored, prefix);
	const gateUp = slices(stored, `${prefix}.gate_up_proj`, [count, hiddenSize, 2 * inner]);
	const half = (first: 0 | 1): ExpertMatrices => ({
		weight: gather(gateUp, [count, hiddenSize, inner], { from: first, inStride: 2 * inner, outStride: 2 }),
		bias: gateUpBias(stored, prefix, [count, inner], first),
	});
	return {
		inner,
		gate: half(0),
		up: half(1),
		down: {
			weight: stored.tensor(`${prefix}.down_proj`, [count, inner, hiddenSize]),
			bias: stored.tensor(`${prefix}.down_proj_bias`, [count, hiddenSize]),
		},
	};
}

/** transformers, in MXFP4. */
function readBlocks({ stored, prefix, count, hiddenSize }: Experts): ExpertTensors {
	const inner = innerWidth(stored, prefix);
	const gateUp = blockSlices(stored, `${prefix}.gate_up_proj`, [count, 2 * inner, hiddenSize]);
	const half = (first: 0 | 1): ExpertMatrices => ({
		weight: gather(gateUp, [count, hiddenSize, inner], {
			from: first * hiddenSize,
			inStride: 1,
			outStride: 2 * hiddenSize,
		}),
		bias: gateUpBias(stored, prefix, [count, inner], first),
	});
	const down = blockSlices(stored, `${prefix}.down_proj`, [count, hiddenSize, inner]);
	return {
		inner,
		gate: half(0),
		up: half(1),
		down: {
			weight: transposed(down, [count, hiddenSize, inner]),
			bias: stored.tensor(`${prefix}.down_proj_bias`, [count, hiddenSize]),
		},
	};
}

function innerWidth(stored: Weights, prefix: string): number {
	return Math.floor((stored.info(`${prefix}.gate_up_proj_bias`).dims[1] ?? 0) / 2);
}

function gateUpBias(
	stored: Weights,
	prefix: string,
	[count, inner]: readonly [number, number],
	first: 0 | 1,
): Float32Array {
	const both = stored.tensor(`${prefix}.gate_up_proj_bias`, [count, 2 * inner]);
	return Float32Array.from({ length: count * inner }, (_, i) => both[2 * i + first] as number);
}

/** Of a tensor [experts, rows, columns]. */
function slices(stored: Weights, name: string, dims: readonly [number, number, number]): Slices {
	const info = stored.check(name, dims);
	return (expert) => stored.file.readRows(info.name, expert, expert + 1);
}

/** Of codes [experts, rows, columns / 32, 16] and scales [experts, rows, columns / 32]. */
function blockSlices(
	stored: Weights,
	name: string,
	[count, rows, columns]: readonly [number, number, number],
): Slices {
	const blocks = columns / 32;
	const bytes = (suffix: string, dims: readonly number[]): Uint8Array =>
		stored.file.readBytes(stored.check(`${name}_${suffix}`, dims).name);
	const codes = bytes("blocks", [count, rows, blocks, 16]);
	const scales = bytes("scales", [count, rows, blocks]);
	return (expert) => {
		const out = new Float32Array(rows * columns);
		const first = expert * rows * blocks;
		const last = first + rows * blocks;
		dequantizeSplitMXFP4(codes.subarray(16 * first, 16 * last), scales.subarray(first, last), out);
		return out;
	};
}

/** Slices [out, in] → [experts, in, out]. */
function transposed(read: Slices, [count, rows, columns]: readonly [number, number, number]): Float32Array {
	return gather(read, [count, columns, rows], { from: 0, inStride: 1, outStride: columns });
}

/** [experts, in, out], element [i, o] of a slice lying at from + i · inStride + o · outStride. */
function gather(
	read: Slices,
	[count, ins, outs]: readonly [number, number, number],
	{
		from,
		inStride,
		outStride,
	}: { readonly from: number; readonly inStride: number; readonly outStride: number },
): Float32Array {
	const gathered = new Float32Array(count * ins * outs);
	let at = 0;
	for (let expert = 0; expert < count; expert++) {
		const slice = read(expert);
		for (let i = 0; i < ins; i++)
			for (let o = 0; o < outs; o++) gathered[at++] = slice[from + i * inStride + o * outStride] as number;
	}
	return gathered;
}
