/** Tensors as plain numbers, indexed by coordinates: the reference that operators are compared with. */
import type { TensorData } from "../types.ts";

export interface NdArray {
	readonly dims: readonly number[];
	/** The element at these coordinates; missing axes and axes of length 1 broadcast. */
	at(...index: readonly number[]): number;
}

export function ndArray({ dtype, dims, data }: TensorData): NdArray {
	return {
		dims,
		at(...index) {
			const own = index.slice(index.length - dims.length);
			const offset = dims.reduce(
				(sum, dim, axis) => sum * dim + (dim === 1 ? 0 : (own[axis] ?? Number.NaN)),
				0,
			);
			const element = data[offset];
			if (element === undefined) throw new RangeError(`[${index}] is outside [${dims}]`);
			return dtype === "float16" ? float16Value(Number(element)) : Number(element);
		},
	};
}

/** All coordinates of a shape, row-major. */
export function* coordinates(dims: readonly number[]): Generator<number[]> {
	const count = dims.reduce((product, dim) => product * dim, 1);
	for (let flat = 0; flat < count; flat++) {
		const index: number[] = [];
		let rest = flat;
		for (const dim of dims.toReversed()) {
			index.unshift(rest % dim);
			rest = Math.floor(rest / dim);
		}
		yield index;
	}
}

/** Σ f(i) for i from 0 to n − 1. */
export function sum(n: number, f: (i: number) => number): number {
	let total = 0;
	for (let i = 0; i < n; i++) total += f(i);
	return total;
}

/** The value of a float16 by its bits. */
export function float16Value(bits: number): number {
	const sign = bits & 0x8000 ? -1 : 1;
	const exponent = (bits >> 10) & 0x1f;
	const fraction = bits & 0x3ff;
	if (exponent === 0x1f) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
	return sign * (exponent === 0 ? fraction * 2 ** -24 : (1 + fraction / 1024) * 2 ** (exponent - 15));
}
