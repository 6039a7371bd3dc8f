/** Weights in bytes, and Q4_0 in 4 bits: what GGUF's types hold carries over, and what has no lattice is rounded once. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type KnownTensorType, tensorTypes } from "../formats/dequantize/tensor-types.ts";
import { encodeGguf } from "../formats/gguf-writer.ts";
import { Random } from "../sampling/random.ts";
import { openTensorFile } from "../testing/open-tensor-file.ts";
import { carriers } from "./carry-blocks.ts";
import { inHalves, type QuantizedMatrix, quantizeMatrices } from "./quantize-blocks.ts";
import { WeightMemory } from "./weight-memory.ts";

interface Case {
	readonly type: KnownTensorType;
	readonly shape: readonly [number, number];
	readonly bytes: string;
	readonly float32: string;
}

const { cases } = JSON.parse(
	readFileSync(new URL("../../../../goldens/dequant.json", import.meta.url), "utf8"),
) as { readonly cases: readonly Case[] };
const golden = new Map(cases.map((each) => [each.type, each]));
let folder: string;

beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "tok-blocks-"));
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

interface Stored {
	readonly type: KnownTensorType;
	readonly bytes: Uint8Array;
}

/** A matrix, as it was quantised or in other blocks. */
type Reblock = (matrix: QuantizedMatrix, columns: number, memory: WeightMemory) => QuantizedMatrix;

/** Matrices of equal width, written to a GGUF file and quantised from there; back as float32, with their bytes. */
function carriedOver(
	columns: number,
	rows: number,
	stored: readonly Stored[],
	carry = carriers,
	reblock: Reblock = (matrix) => matrix,
) {
	const path = join(folder, "matrix.gguf");
	const tensors = stored.map(({ type, bytes }, i) => ({
		name: `${i}`,
		type,
		dims: [rows, columns],
		data: bytes,
	}));
	writeFileSync(path, encodeGguf({ values: new Map(), tensors }));
	using file = openTensorFile(path);
	const matrices = [...file.tensors.values()].map((info) => ({ info, rows, columns }));
	const memory = new WeightMemory();
	const quantised = quantizeMatrices(file, matrices, memory, carry);
	const { bits, codes, scales, blockSize, ...size } = reblock(quantised, columns, memory);
	const blocks = Math.ceil(columns / blockSize);
	expect(size).toEqual({ rows: rows * stored.length, blocks });
	expect(codes).toHaveLength((size.rows * blocks * blockSize * bits) / 8);
	const values = Float32Array.from({ length: size.rows * columns }, (_, i) => {
		const block = Math.floor(i / columns) * blocks + Math.floor((i % columns) / blockSize);
		const at = block * blockSize + ((i % columns) % blockSize);
		const byte = codes[Math.floor((at * bits) / 8)] as number;
		const code = bits === 8 ? byte - 128 : ((byte >> (4 * (at % 2))) & 15) - 8;
		return code * (scales[block] as number);
	});
	return { bits, codes, scales, blockSize, values };
}

/** The largest error of any value, as a share of the largest value in its block. */
function worstError(values: Float32Array, expected: Float32Array, blockSize: number): number {
	expect(values).toHaveLength(expected.length);
	let worst = 0;
	for (let from = 0; from < values.length; from += blockSize) {
		let largest = 0;
		let error = 0;
		for (let i = from; i < from + blockSize; i++) {
			largest = Math.max(largest, Math.abs(expected[i] as number));
			error = Math.max(error, Math.abs((values[i] as number) - (expected[i] as number)));
		}
		if (largest > 0) worst = Math.max(worst, error / largest);
	}
	return worst;
}

function goldenError(type: KnownTensorType): number {
	const { shape, bytes, float32 } = golden.get(type) as Case;
	const expected = new Float32Array(new Uint8Array(Buffer.from(float32, "base64")).buffer);
	expect(expected.every(Number.isFinite)).toBe(true);
	const stored = { type, bytes: Buffer.from(bytes, "base64") };
	const { values, blockSize } = carriedOver(shape[1], shape[0], [stored]);
	return worstError(values, expected, blockSize);
}

/** Half of a 127th, and float32's own rounding. */
const ROUNDED = 1 / 254 + 1e-7;

describe("gguf-py's blocks", () => {
	test.each(["Q4_0", "Q5_0", "Q8_0", "Q3_K", "Q6_K", "IQ4_NL", "IQ4_XS", "MXFP4"] as const)(
		"%s: zero is on the lattice, and every weight carries over",
		(type) => expect(goldenError(type)).toBeLessThanOrEqual(1e-6),
	);

	test.each(["Q4_1", "Q5_1", "Q2_K", "Q4_K", "Q5_K"] as const)(
		"%s: zero is off the lattice, and no weight is off by more than plain rounding may be",
		(type) => expect(goldenError(type)).toBeLessThanOrEqual(ROUNDED),
	);

	test("Q4_0 stays in 4 bits, bit for bit", () => {
		const { shape, bytes, float32 } = golden.get("Q4_0") as Case;
		const stored: Stored = { type: "Q4_0", bytes: Buffer.from(bytes, "base64") };
		const { bits, codes, values } = carriedOver(shape[1], shape[0], [stored, stored]);
		expect(bits).toBe(4);
		expect(codes).toHaveLength(shape[0] * shape[1]);
		const weights = new Float32Array(new Uint8Array(Buffer.from(float32, "base64")).buffer);
		expect(values).toEqual(Float32Array.of(...weights, ...weights));
	});

	test.each(["Q4_0", "Q4_1", "Q8_0"] as const)("%s in halves of blocks: the same weights", (type) => {
		const { shape, bytes } = golden.get(type) as Case;
		const stored: Stored = { type, bytes: Buffer.from(bytes, "base64") };
		const whole = carriedOver(shape[1], shape[0], [stored]);
		const halved = carriedOver(shape[1], shape[0], [stored], carriers, inHalves);
		expect(halved.blockSize).toBe(16);
		expect([halved.values, halved.codes]).toEqual([whole.values, whole.codes]);
	});

	test("a row whose last block is not full stays in blocks of 32", () => {
		const weights = new Uint8Array(Float32Array.from({ length: 2 * 48 }, (_, i) => i - 40).buffer);
		const stored = { type: "F32" as const, bytes: weights };
		expect(carriedOver(48, 2, [stored], carriers, inHalves).blockSize).toBe(32);
	});

	test("beside a matrix of another type Q4_0 is bytes", () => {
		const stored = (["Q4_0", "Q8_0"] as const).map((type) => ({
			type,
			bytes: Buffer.from((golden.get(type) as Case).bytes, "base64"),
		}));
		const [rows, columns] = (golden.get("Q4_0") as Case).shape;
		const { bits, codes } = carriedOver(columns, rows, stored);
		expect(bits).toBe(8);
		expect(codes).toHaveLength(2 * rows * columns);
	});

	test.each(["Q4_0", "Q4_1", "Q8_0"] as const)(
		"%s in bytes: straight from the file as through the weights",
		(type) => {
			const { shape, bytes, float32 } = golden.get(type) as Case;
			// A matrix that is no Q4_0 has all of the stack in bytes.
			const zeros = { type: "Q8_0" as const, bytes: new Uint8Array((shape[0] * shape[1] * 34) / 32) };
			const stored = [{ type, bytes: Buffer.from(bytes, "base64") }, zeros];
			const numbers = new Float32Array(new Uint8Array(Buffer.from(float32, "base64")).buffer);
			const weights = Float32Array.of(...numbers, ...new Float32Array(numbers.length));
			const straight = carriedOver(shape[1], shape[0], stored);
			const plain = carriedOver(shape[1], shape[0], stored, {});
			let equal = 0;
			const blocks = numbers.length / 32;
			for (const [block, scale] of straight.scales.subarray(0, blocks).entries()) {
				const part = (values: ArrayLike<number>): number[] =>
					Array.from({ length: 32 }, (_, i) => values[32 * block + i] as number);
				// Where a block leaves codes at an end unused, its bytes allow for more than its weights need.
				if (scale !== plain.scales[block]) continue;
				expect(part(straight.codes)).toEqual(part(plain.codes));
				equal++;
			}
			expect(equal).toBeGreaterThanOrEqual(blocks * 0.5);
			const worst = worstError(straight.values, weights, 32);
			expect(worst).toBeLessThanOrEqual(Math.max(1e-6, worstError(plain.values, weights, 32) * 1.5));
		},
	);

	test("Q4_1: a lattice far from zero costs no more than plain rounding on average", () => {
		const { shape, bytes } = golden.get("Q4_1") as Case;
		const stored = Buffer.from(bytes, "base64");
		const weights = new Float32Array(shape[0] * shape[1]);
		tensorTypes.Q4_1.dequantize?.(stored, weights);
		const { values, blockSize } = carriedOver(shape[1], shape[0], [{ type: "Q4_1", bytes: stored }]);
		let error = 0;
		let rounding = 0;
		for (let from = 0; from < weights.length; from += blockSize) {
			const block = weights.subarray(from, from + blockSize);
			const largest = block.reduce((most, weight) => Math.max(most, Math.abs(weight)), 0);
			for (const [i, weight] of block.entries()) error += ((values[from + i] as number) - weight) ** 2;
			rounding += blockSize * (largest / 127) ** 2 * (1 / 12);
		}
		expect(error).toBeLessThan(0.8 * rounding);
	});

	test.each(["F32", "F16", "BF16"] as const)("%s is rounded to 127ths of a block's largest weight", (type) =>
		expect(goldenError(type)).toBeLessThanOrEqual(ROUNDED),
	);
});

test("random weights are rounded to 127ths of their block's largest", () => {
	const random = new Random(7);
	const weights = Float32Array.from(
		{ length: 64 * 96 },
		() => (random.uniform() - 0.5) * 10 ** (random.uniform() * 8 - 4),
	);
	const stored: Stored = { type: "F32", bytes: new Uint8Array(weights.buffer) };
	const { values, blockSize } = carriedOver(96, 64, [stored]);
	expect(worstError(values, weights, blockSize)).toBeLessThanOrEqual(ROUNDED);
});

test("blocks of zeros and of one value are exact", () => {
	const weights = new Float32Array(128).fill(0, 0, 32).fill(-0.3, 32, 64).fill(7e-9, 64, 96).fill(3e30, 96);
	const { values, codes, scales, blockSize } = carriedOver(128, 1, [
		{ type: "F32", bytes: new Uint8Array(weights.buffer) },
	]);
	expect(worstError(values, weights, blockSize)).toBeLessThanOrEqual(1e-6);
	expect([...codes.subarray(0, 32)]).toEqual(new Array(32).fill(128));
	expect(scales[0]).toBe(0);
});

test("a row's last block is filled up with zeros, and matrices are stacked", () => {
	const weights = Float32Array.from({ length: 3 * 24 }, (_, i) => i + 1);
	const stored: Stored = { type: "F32", bytes: new Uint8Array(weights.buffer) };
	const { values, codes } = carriedOver(24, 3, [stored, stored]);
	expect(codes).toHaveLength(6 * 32);
	for (let row = 0; row < 6; row++) {
		expect([...codes.subarray(row * 32 + 24, row * 32 + 32)]).toEqual(new Array(8).fill(128));
		for (let i = 0; i < 24; i++) {
			const expected = weights[(row % 3) * 24 + i] as number;
			expect(Math.abs((values[row * 24 + i] as number) - expected)).toBeLessThanOrEqual(72 / 254);
		}
	}
});
