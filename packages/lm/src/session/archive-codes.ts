/**
 * How the rows of an archive file are written, and read: as they are, in 8 bits, or in 4 (`archive-nibbles.ts`).
 *
 * Rows in 8 bits: a code for each number and a scale for each entry and head, the format of an 8-bit
 * store (`KvFormat`), in the order of the rows. The rule is the store's, and what it gives is what it gives again of its
 * own numbers: a 127th of 127 scales, either rounded to float32, is the scale (of the 2²³ mantissas only those would
 * change that no 127th rounds to), and so with 63rds. So an 8-bit store that is filled from a file has the very codes and
 * scales again.
 */

import { largestCode } from "@tok/runtime";
import type { ArchiveFormat } from "../model.ts";
import { decodeNibbles, encodeNibbles, nibbleBytes } from "./archive-nibbles.ts";

export interface RowCodec {
	/** Bytes of so many rows. */
	bytes(rows: number, headDim: number): number;
	/** Rows [n, headDim]: of each layer as many of keys as `keyRows` says, then as many of values. */
	encode(rows: Float32Array, headDim: number, keyRows: readonly number[]): Uint8Array;
	/** The reverse, of bytes of their own. */
	decode(bytes: Uint8Array<ArrayBuffer>, headDim: number): Float32Array;
}

export const rowCodecs: Readonly<Record<ArchiveFormat, RowCodec>> = {
	float32: {
		bytes: (rows, headDim) => rows * headDim * Float32Array.BYTES_PER_ELEMENT,
		encode: (rows) => new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength),
		decode: (bytes) => new Float32Array(bytes.buffer),
	},
	int8: { bytes: codedBytes, encode: encodeRows, decode: decodeRows },
	int4: { bytes: nibbleBytes, encode: encodeNibbles, decode: decodeNibbles },
};

export function isArchiveFormat(format: unknown): format is ArchiveFormat {
	return typeof format === "string" && Object.hasOwn(rowCodecs, format);
}

/** Bytes of so many rows. */
function codedBytes(rows: number, headDim: number): number {
	return rows * (headDim + Float32Array.BYTES_PER_ELEMENT);
}

/** Rows [n, headDim] as codes, int8 [n, headDim], then scales, float32 [n]. Each number errs by half its scale at most. */
function encodeRows(rows: Float32Array, headDim: number, keyRows: readonly number[]): Uint8Array {
	const count = rows.length / headDim;
	const { key, value } = largestCode;
	const largest = keyRows.flatMap((n) => new Array<number>(2 * n).fill(key).fill(value, n));
	const codes = new Int8Array(rows.length);
	const scales = new Float32Array(count);
	for (let row = 0; row < count; row++) {
		const from = row * headDim;
		let most = 0;
		for (let i = from; i < from + headDim; i++) most = Math.max(most, Math.abs(rows[i] as number));
		const scale = Math.fround(most / (largest[row] as number));
		scales[row] = scale;
		const inverse = scale > 0 ? 1 / scale : 0;
		for (let i = from; i < from + headDim; i++) codes[i] = Math.round((rows[i] as number) * inverse);
	}
	const bytes = new Uint8Array(codedBytes(count, headDim));
	bytes.set(new Uint8Array(codes.buffer));
	bytes.set(new Uint8Array(scales.buffer), codes.length);
	return bytes;
}

/** The reverse: code · scale, float32 [n, headDim]. */
function decodeRows(bytes: Uint8Array, headDim: number): Float32Array {
	const count = bytes.length / codedBytes(1, headDim);
	const codes = new Int8Array(bytes.buffer, bytes.byteOffset, count * headDim);
	const scales = new Float32Array(bytes.slice(codes.length).buffer);
	return Float32Array.from(codes, (code, i) => code * (scales[Math.floor(i / headDim)] as number));
}
