/**
 * A small seeded generator with a state that can be saved: xoshiro128** 1.1 (Blackman and Vigna, "Scrambled Linear
 * Pseudorandom Number Generators", 2018; prng.di.unimi.it), seeded by splitmix64 as its authors advise. Not for secrets.
 */

export type RandomState = readonly [number, number, number, number];

/** Whether a value, of a file perhaps, is four 32-bit words that are not all zero. */
export function isRandomState(value: unknown): value is RandomState {
	const isWord = (word: unknown): boolean =>
		typeof word === "number" && Number.isInteger(word) && word >= 0 && word < 2 ** 32;
	return (
		Array.isArray(value) && value.length === 4 && value.every(isWord) && value.some((word) => word !== 0)
	);
}

export class Random {
	/** Four 32-bit words, not all zero. */
	readonly #state: Uint32Array;

	constructor(seed: number | RandomState) {
		this.#state = typeof seed === "number" ? stateFromSeed(seed) : Uint32Array.from(seed);
	}

	get state(): RandomState {
		const [a = 0, b = 0, c = 0, d = 0] = this.#state;
		return [a, b, c, d];
	}

	/** 32 random bits. */
	next(): number {
		const s = this.#state;
		const s0 = s[0] ?? 0;
		const s1 = s[1] ?? 0;
		const s2 = (s[2] ?? 0) ^ s0;
		const s3 = (s[3] ?? 0) ^ s1;
		const result = Math.imul(rotateLeft(Math.imul(s1, 5), 7), 9) >>> 0;
		s[0] = s0 ^ s3;
		s[1] = s1 ^ s2;
		s[2] = s2 ^ (s1 << 9);
		s[3] = rotateLeft(s3, 11);
		return result;
	}

	/** Uniform in [0, 1), with 53 random bits. */
	uniform(): number {
		const high = this.next() >>> 5;
		const low = this.next() >>> 6;
		return (high * 2 ** 26 + low) / 2 ** 53;
	}
}

function rotateLeft(x: number, count: number): number {
	return (x << count) | (x >>> (32 - count));
}

/** Two outputs of splitmix64 (Steele, Lea and Flood 2014), low words first. */
function stateFromSeed(seed: number): Uint32Array {
	const state = new Uint32Array(4);
	let x = BigInt.asUintN(64, BigInt(seed));
	for (let word = 0; word < 4; word += 2) {
		x = BigInt.asUintN(64, x + 0x9e3779b97f4a7c15n);
		let z = x;
		z = BigInt.asUintN(64, (z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
		z = BigInt.asUintN(64, (z ^ (z >> 27n)) * 0x94d049bb133111ebn);
		z ^= z >> 31n;
		state[word] = Number(z & 0xffffffffn);
		state[word + 1] = Number(z >> 32n);
	}
	return state;
}
