/** Seeded random tensors, for tests (mulberry32). */
import { toTypedArray } from "../dtypes.ts";
import type { DType, TensorData } from "../types.ts";

export type Random = () => number;

/** Uniform in [0, 1). */
export function seeded(seed: number): Random {
	let state = seed | 0;
	return () => {
		state = (state + 0x6d2b79f5) | 0;
		let t = Math.imul(state ^ (state >>> 15), 1 | state);
		t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
		return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
	};
}

/** Elements in [low, high): reals for floats, integers otherwise. */
export function randomTensor<D extends DType>(
	random: Random,
	dtype: D,
	dims: readonly number[],
	[low, high]: readonly [number, number] = [-2, 2],
): TensorData<D> {
	const count = dims.reduce((product, dim) => product * dim, 1);
	const real = dtype === "float32" || dtype === "float16";
	const numbers = Array.from({ length: count }, () => {
		const x = low + random() * (high - low);
		return real ? x : Math.floor(x);
	});
	return { dtype, dims, data: toTypedArray(dtype, numbers) };
}
