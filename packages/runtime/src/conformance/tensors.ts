/** Small host tensors for conformance cases. */
import type { Tensor } from "../runtime.ts";

function elements(dims: readonly number[]): number {
	return dims.reduce((product, dim) => product * dim, 1);
}

/** Numbers in [−1, 1), the same on every machine: a linear congruential generator (Numerical Recipes §7.1). */
export class Numbers {
	#state: number;

	constructor(seed: number) {
		this.#state = seed;
	}

	next(): number {
		this.#state = (Math.imul(this.#state, 1664525) + 1013904223) >>> 0;
		return this.#state / 2 ** 31 - 1;
	}

	tensor(dims: readonly number[]): Tensor<"float32"> {
		return floats(
			dims,
			Array.from({ length: elements(dims) }, () => this.next()),
		);
	}
}

export function floats(dims: readonly number[], values: Iterable<number>): Tensor<"float32"> {
	return { dtype: "float32", dims, data: Float32Array.from(values) };
}

/** 0, 1, 2, … + `from`. */
export function counting(dims: readonly number[], from = 0): Tensor<"float32"> {
	return floats(
		dims,
		Array.from({ length: elements(dims) }, (_, i) => from + i),
	);
}
