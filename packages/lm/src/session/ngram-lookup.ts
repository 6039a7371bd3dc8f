/**
 * Guesses what comes next from what came before: after the latest earlier occurrence of the last three tokens
 * ("prompt lookup", Saxena 2023; "LLMA", Yang et al., arXiv 2304.04487). An index over the last ids of the stream,
 * bounded by their number; a token costs one entry of a map, however long the stream.
 *
 * Three tokens and no fewer: with two, novel text is guessed at too often, and guesses that are refused cost time.
 */

export class NgramLookup {
	/** A ring of the last ids; the id of token t lies in t mod its length. */
	readonly #ids: Int32Array;
	/** By a hash of three tokens: the index of the token after their latest occurrence. */
	readonly #after = new Map<number, number>();
	#length = 0;
	/** The index of the token after the latest earlier occurrence of the last three, or of three with the same hash. */
	#match: number | undefined;

	/** Remembers the last `capacity` ids, at least three. */
	constructor(capacity: number) {
		this.#ids = new Int32Array(capacity);
	}

	push(id: number): void {
		const capacity = this.#ids.length;
		const leaving = this.#length - capacity;
		if (leaving >= 0) {
			const hash = this.#hash(leaving);
			if (this.#after.get(hash) === leaving + 3) this.#after.delete(hash);
		}
		this.#ids[this.#length++ % capacity] = id;
		if (this.#length < 3) return;
		const hash = this.#hash(this.#length - 3);
		this.#match = this.#after.get(hash);
		this.#after.set(hash, this.#length);
	}

	/** The next `count` ids if the stream repeats itself; none where it has nothing to repeat. */
	guess(count: number): number[] {
		const match = this.#match;
		if (match === undefined || ![1, 2, 3].every((n) => this.#id(match - n) === this.#id(this.#length - n)))
			return [];
		const guesses: number[] = [];
		// A repetition shorter than `count` goes on with what has just been guessed.
		for (let t = match; guesses.length < count; t++)
			guesses.push(t < this.#length ? this.#id(t) : (guesses[t - this.#length] as number));
		return guesses;
	}

	#id(t: number): number {
		return this.#ids[t % this.#ids.length] as number;
	}

	/** Of the tokens t, t + 1 and t + 2: 32 bits. */
	#hash(t: number): number {
		const pair = Math.imul(this.#id(t), 0x9e3779b1) ^ this.#id(t + 1);
		return Math.imul(pair ^ (pair >>> 15), 0x85ebca6b) ^ this.#id(t + 2);
	}
}
