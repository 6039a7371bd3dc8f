/**
 * A curve over an endless run in bounded memory: means over equal stretches of x, which double in length whenever the
 * points would be too many. Also the moving mean that perplexity is drawn as.
 */

export class Series {
	readonly #most: number;
	#stride: number;
	#xs: number[] = [];
	#ys: number[] = [];
	#sum = 0;
	#count = 0;

	/**
	 * @param stride Length of a stretch at first, in units of x.
	 * @param most Points at the most, an even number.
	 */
	constructor(stride = 1, most = 512) {
		this.#stride = stride;
		this.#most = most;
	}

	/** Adds a sample. x never falls. */
	push(x: number, y: number): void {
		if (!Number.isFinite(y)) return;
		const at = Math.floor(x / this.#stride) * this.#stride;
		if (this.#xs.at(-1) === at) {
			this.#sum += y;
			this.#count++;
			this.#ys[this.#ys.length - 1] = this.#sum / this.#count;
			return;
		}
		this.#xs.push(at);
		this.#ys.push(y);
		this.#sum = y;
		this.#count = 1;
		if (this.#xs.length > this.#most) this.#halve();
	}

	/** Ascending. */
	get xs(): readonly number[] {
		return this.#xs;
	}

	get ys(): readonly number[] {
		return this.#ys;
	}

	get last(): number | undefined {
		return this.#ys.at(-1);
	}

	#halve(): void {
		this.#stride *= 2;
		const sums = new Map<number, { sum: number; count: number }>();
		for (const [index, x] of this.#xs.entries()) {
			const at = Math.floor(x / this.#stride) * this.#stride;
			const { sum, count } = sums.get(at) ?? { sum: 0, count: 0 };
			sums.set(at, { sum: sum + (this.#ys[index] as number), count: count + 1 });
		}
		this.#xs = [...sums.keys()];
		this.#ys = [...sums.values()].map(({ sum, count }) => sum / count);
		const last = [...sums.values()].at(-1);
		this.#sum = last?.sum ?? 0;
		this.#count = last?.count ?? 0;
	}
}

/** The mean of the last `length` values. */
export class MovingMean {
	readonly #values: Float64Array;
	#count = 0;

	constructor(length: number) {
		this.#values = new Float64Array(length);
	}

	/** Undefined before the first value. */
	get value(): number | undefined {
		const held = Math.min(this.#count, this.#values.length);
		if (held === 0) return undefined;
		// Afresh each time: a running sum would drift over millions of tokens.
		return this.#values.subarray(0, held).reduce((sum, value) => sum + value, 0) / held;
	}

	get count(): number {
		return this.#count;
	}

	push(value: number): void {
		this.#values[this.#count++ % this.#values.length] = value;
	}
}
