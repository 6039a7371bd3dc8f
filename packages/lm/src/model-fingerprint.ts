/**
 * A digest that tells models apart without reading all of their weights: every tensor's name, type, shape and
 * first row.
 */
import { createHash } from "node:crypto";
import type { TensorFile } from "./formats/tensor-file.ts";

export function modelFingerprint(file: TensorFile): string {
	const hash = createHash("sha256");
	for (const { name, type, dims } of file.tensors.values()) {
		hash.update(`${name}\0${type}\0${dims.join(",")}\0`);
		const row = dims.length > 1 ? file.readRows(name, 0, 1) : file.read(name);
		hash.update(new Uint8Array(row.buffer, row.byteOffset, row.byteLength));
	}
	return hash.digest("hex");
}
