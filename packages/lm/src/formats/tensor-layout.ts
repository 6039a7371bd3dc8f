/**
 * The arithmetic of shapes that both formats check: how many bytes a tensor of given dims and type takes, and whether
 * tensors overlap. Every product is checked before it is used, because dims come from files.
 */
import { quote } from "./damaged-file.ts";
import { type TensorType, tensorTypeInfo } from "./dequantize/tensor-types.ts";

/** A tensor's place within the data region of its file. */
export interface TensorSpan {
	readonly name: string;
	readonly offset: number;
	readonly byteLength: number;
}

/**
 * Bytes of a tensor; undefined for an unknown type. `problem` makes the error to throw when the dims are impossible:
 * too large for any file, or not whole blocks along the innermost dimension.
 */
export function tensorBytes(
	dims: readonly number[],
	type: TensorType,
	problem: (sentence: string) => Error,
): number | undefined {
	// Zeros are left out, so that [0, 2^60] is as impossible as [1, 2^60].
	const extent = dims.reduce((product, dim) => product * Math.max(dim, 1), 1);
	if (!(extent <= Number.MAX_SAFE_INTEGER))
		throw problem(`expected at most 2^53 elements, got dims ${print(dims)}`);
	const info = tensorTypeInfo(type);
	if (info === undefined) return undefined;
	const innermost = dims.at(-1) ?? 1;
	if (innermost % info.blockSize !== 0) {
		throw problem(
			`expected an innermost dimension that is a multiple of ${type}'s block of ${info.blockSize}, got dims ${print(dims)}`,
		);
	}
	const elements = dims.includes(0) ? 0 : extent;
	return (elements / info.blockSize) * info.blockBytes;
}

/** Throws `problem` when two spans share a byte. Empty spans share none. */
export function checkOverlap(spans: readonly TensorSpan[], problem: (sentence: string) => Error): void {
	const ordered = spans.filter(({ byteLength }) => byteLength > 0).sort((a, b) => a.offset - b.offset);
	for (let i = 1; i < ordered.length; i++) {
		const before = ordered[i - 1] as TensorSpan;
		const after = ordered[i] as TensorSpan;
		if (before.offset + before.byteLength > after.offset) {
			throw problem(
				`expected separate tensors, but ${quote(before.name)} [${before.offset}, ${before.offset + before.byteLength}) ` +
					`overlaps ${quote(after.name)} at ${after.offset}`,
			);
		}
	}
}

function print(dims: readonly number[]): string {
	return `[${dims.slice(0, 8).join(", ")}${dims.length > 8 ? ", …" : ""}]`;
}
