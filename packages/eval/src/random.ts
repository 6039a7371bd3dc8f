/** Seeded draws. The generator is pure-rand's xoroshiro128+; here are only the draws that evaluations make. */
import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import { integer } from "./errors.ts";

export class Random {
	readonly #generator: ReturnType<typeof xoroshiro128plus>;

	/** @param seed An integer from 0 to 2³²−1. */
	constructor(seed: number) {
		this.#generator = xoroshiro128plus(integer("seed", seed, 0, 2 ** 32 - 1));
		// The first draws of neighbouring seeds are neighbours: a draw of one's place in a text would be the other's.
		this.#generator.jump();
	}

	/** An integer from 0 to count − 1. */
	below(count: number): number {
		return uniformInt(this.#generator, 0, count - 1);
	}

	/** The integers from 0 to count − 1 in a random order (Fisher and Yates). */
	permutation(count: number): Uint32Array {
		const order = Uint32Array.from({ length: count }, (_, index) => index);
		for (let index = count - 1; index > 0; index--) {
			const other = this.below(index + 1);
			const value = order[index] as number;
			order[index] = order[other] as number;
			order[other] = value;
		}
		return order;
	}

	/** Five digits, the first not 0, that are not in `used`; adds them to it. */
	code(used: Set<string>): string {
		for (;;) {
			const code = String(10_000 + this.below(90_000));
			if (!used.has(code)) {
				used.add(code);
				return code;
			}
		}
	}
}
