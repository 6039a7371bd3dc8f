/**
 * The best of many scores, one after the other: a binary heap of ids, built in linear time, from which the best one is
 * taken in logarithmic time (Williams 1964, Floyd 1964). When a few of 50,000 are wanted, that is far less than sorting
 * them all. Equal scores come lowest id first. Nothing is allocated after construction.
 */
export class BestFirst {
	readonly #ids: Int32Array;
	#scores: Float64Array;
	#count = 0;

	constructor(capacity: number) {
		this.#ids = new Int32Array(capacity);
		this.#scores = new Float64Array(0);
	}

	/** The ids whose score is at least `least`, ready to be taken. The scores are not to change before the last `take`. */
	start(scores: Float64Array, least: number): void {
		let count = 0;
		for (let id = 0; id < scores.length; id++) {
			if ((scores[id] as number) >= least) this.#ids[count++] = id;
		}
		this.#scores = scores;
		this.#count = count;
		for (let at = (count >> 1) - 1; at >= 0; at--) this.#sink(at);
	}

	get count(): number {
		return this.#count;
	}

	/** The best one left; call it only while `count` is not 0. */
	take(): number {
		const best = this.#ids[0] as number;
		this.#count--;
		this.#ids[0] = this.#ids[this.#count] as number;
		this.#sink(0);
		return best;
	}

	#sink(start: number): void {
		const ids = this.#ids;
		const scores = this.#scores;
		const count = this.#count;
		const id = ids[start] as number;
		const score = scores[id] as number;
		let at = start;
		for (let child = 2 * at + 1; child < count; child = 2 * at + 1) {
			let childId = ids[child] as number;
			let childScore = scores[childId] as number;
			if (child + 1 < count) {
				const otherId = ids[child + 1] as number;
				const otherScore = scores[otherId] as number;
				if (otherScore > childScore || (otherScore === childScore && otherId < childId)) {
					child++;
					childId = otherId;
					childScore = otherScore;
				}
			}
			if (score > childScore || (score === childScore && id < childId)) break;
			ids[at] = childId;
			at = child;
		}
		ids[at] = id;
	}
}

/**
 * A bound that at least `count` of the scores reach, and few more: the scores are cut into blocks, and the count-th
 * largest of the blocks' maxima is such a bound. `maxima` is scratch, one block for each element, at least `count` of
 * them (or as many as there are scores); four times as many keep the bound tight.
 */
export function boundOfBest(scores: Float64Array, count: number, maxima: Float64Array): number {
	const blocks = maxima.length;
	for (let block = 0, id = 0; block < blocks; block++) {
		const end = Math.floor(((block + 1) * scores.length) / blocks);
		let highest = -Infinity;
		for (; id < end; id++) {
			if ((scores[id] as number) > highest) highest = scores[id] as number;
		}
		maxima[block] = highest;
	}
	maxima.sort();
	return maxima[Math.max(0, blocks - count)] as number;
}
