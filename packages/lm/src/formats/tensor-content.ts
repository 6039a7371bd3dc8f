/** A tensor to be written, and the checks that every format's writer makes of it. */
import { TokError } from "@tok/runtime";
import { quote } from "./damaged-file.ts";
import type { TensorType } from "./dequantize/tensor-types.ts";
import { tensorBytes } from "./tensor-layout.ts";

export interface TensorContent {
	readonly name: string;
	readonly type: TensorType;
	/** Row-major, outermost first. */
	readonly dims: readonly number[];
	/** The stored bytes, or a function that makes them when their turn comes: one tensor in memory at a time. */
	readonly data: Uint8Array | (() => Uint8Array);
}

/** Checks names, dims and types; returns the bytes of each tensor. */
export function measure(tensors: readonly TensorContent[]): number[] {
	const names = new Set<string>();
	return tensors.map(({ name, type, dims }) => {
		const problem = (sentence: string): Error => new TokError("lm", `tensor ${quote(name)}: ${sentence}`);
		if (names.has(name)) throw problem("expected unique names, got this one twice; rename one");
		names.add(name);
		if (!dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
			throw problem(`expected dims of integers ≥ 0, got [${dims.join(", ")}]`);
		}
		const byteLength = tensorBytes(dims, type, problem);
		if (byteLength === undefined) throw problem(`expected a known type, got ${quote(type)}`);
		return byteLength;
	});
}

/** The tensor's bytes, checked against what its type and dims take. */
export function contentBytes({ name, data }: TensorContent, expected: number): Uint8Array {
	const bytes = typeof data === "function" ? data() : data;
	if (bytes.length !== expected) {
		throw new TokError(
			"lm",
			`tensor ${quote(name)}: expected ${expected} bytes for its type and dims, got ${bytes.length}`,
		);
	}
	return bytes;
}

/** The chunks in one array. */
export function concatenate(chunks: Iterable<Uint8Array>): Uint8Array<ArrayBuffer> {
	const list = [...chunks];
	const out = new Uint8Array(list.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const chunk of list) {
		out.set(chunk, at);
		at += chunk.length;
	}
	return out;
}
