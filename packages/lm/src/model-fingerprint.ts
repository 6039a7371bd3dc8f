/**
 * A digest that tells models apart without reading all of their weights: the configuration, and of every tensor its
 * name, type, shape, and its first, middle and last row. Copies of one model agree wherever they lie.
 */
import { platform } from "#platform";
import type { DecoderConfig } from "./decoder/decoder-config.ts";
import type { TensorFile } from "./formats/tensor-file.ts";
import { toHex } from "./sha256.ts";

export function modelFingerprint(config: DecoderConfig, file: TensorFile): string {
	const hash = platform.createSha256().update(JSON.stringify(config));
	for (const { name, type, dims } of file.tensors.values()) {
		hash.update(`${name}\0${type}\0${dims.join(",")}\0`);
		for (const [begin, end] of sampledRows(dims)) {
			const rows = file.readRows(name, begin, end);
			hash.update(new Uint8Array(rows.buffer, rows.byteOffset, rows.byteLength));
		}
	}
	return toHex(hash.digest());
}

/** Ranges of the outermost dimension: a vector whole, three rows of a matrix, one plane of anything larger. */
function sampledRows([rows = 0, ...inner]: readonly number[]): [number, number][] {
	if (inner.length === 0 || rows === 0) return [[0, rows]];
	const sampled = inner.length === 1 ? [0, rows >> 1, rows - 1] : [0];
	return [...new Set(sampled)].map((row) => [row, row + 1]);
}
