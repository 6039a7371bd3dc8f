/**
 * Chooses tokens by the filters of `Sampling`. All buffers are made once; a choice allocates nothing. The state (the
 * generator and the recent tokens) is plain JSON, so that a saved session goes on bit for bit.
 */
import { TokError } from "@tok/runtime";
import { BestFirst, boundOfBest } from "./best-first.ts";
import { isRandomState, Random, type RandomState } from "./random.ts";
import { type Sampling, validateSampling } from "./sampling.ts";

export interface SamplerState {
	readonly random: RandomState;
	/** Oldest first, at most `repetitionWindow`. */
	readonly recent: readonly number[];
}

export interface Sampler {
	/**
	 * The next token. `logits` float32 [vocabularySize], left as they are; −Infinity forbids a token, and so does
	 * `forbidden`. Throws a TokError for NaN, +Infinity, or when every token is forbidden: a broken model must not look
	 * like a choice.
	 */
	sample(logits: Float32Array, forbidden?: Iterable<number>): number;
	/** Notes a token as recent: of the prompt, forced, or chosen. `sample` does not do it by itself. */
	accept(id: number): void;
	snapshot(): SamplerState;
	/** Goes on from a snapshot. Throws a TokError for what is none. */
	restore(state: SamplerState): void;
}

/** Throws a TokError for options outside their ranges. */
export function createSampler(options: Sampling | undefined, vocabularySize: number): Sampler {
	return new FilteredSampler(validateSampling(options), vocabularySize);
}

class FilteredSampler implements Sampler {
	readonly #options: Required<Sampling>;
	readonly #vocabularySize: number;
	#random: Random;
	/** A ring of the last `repetitionWindow` tokens. */
	readonly #recent: Int32Array;
	#accepted = 0;
	/** [vocabularySize], the logits at work. */
	readonly #scores: Float64Array;
	readonly #best: BestFirst;
	/** Scratch of `boundOfBest`. */
	readonly #maxima: Float64Array;
	/** Ids and weights that the filters kept, best first. */
	readonly #keptIds: Int32Array;
	readonly #keptWeights: Float64Array;

	constructor(options: Required<Sampling>, vocabularySize: number) {
		this.#options = options;
		this.#vocabularySize = vocabularySize;
		this.#random = new Random(options.seed);
		this.#recent = new Int32Array(options.repetitionWindow);
		this.#scores = new Float64Array(vocabularySize);
		this.#best = new BestFirst(vocabularySize);
		this.#maxima = new Float64Array(Math.min(4 * options.topK, vocabularySize));
		this.#keptIds = new Int32Array(vocabularySize);
		this.#keptWeights = new Float64Array(vocabularySize);
	}

	sample(logits: Float32Array, forbidden: Iterable<number> = []): number {
		if (logits.length !== this.#vocabularySize) {
			throw new TokError("lm", `sampling: expected ${this.#vocabularySize} logits, got ${logits.length}.`);
		}
		this.#scores.set(logits);
		this.#penalise(logits);
		for (const id of forbidden) this.#scores[id] = -Infinity;
		const likeliest = argmax(this.#scores);
		const { temperature, topK, topP, minP } = this.#options;
		if (temperature === 0) return likeliest;
		const highest = this.#scores[likeliest] as number;
		if (topK > 0 && topK < this.#vocabularySize) return this.#draw(this.#keepTopK(topK, highest), topP, minP);
		const mass = this.#weigh(highest);
		return topP < 1 ? this.#draw(this.#keepTopP(topP, mass), 1, minP) : this.#drawFromAll(mass, minP);
	}

	accept(id: number): void {
		if (!Number.isInteger(id) || id < 0 || id >= this.#vocabularySize) {
			throw new TokError("lm", `sampling: expected a token id below ${this.#vocabularySize}, got ${id}.`);
		}
		if (this.#recent.length > 0) this.#recent[this.#accepted % this.#recent.length] = id;
		this.#accepted++;
	}

	snapshot(): SamplerState {
		const window = this.#recent.length;
		const count = Math.min(this.#accepted, window);
		const recent = Array.from(
			{ length: count },
			(_, index) => this.#recent[(this.#accepted - count + index) % window] as number,
		);
		return { random: this.#random.state, recent };
	}

	restore(state: SamplerState): void {
		const { random, recent } = state;
		if (!isRandomState(random)) {
			throw new TokError(
				"lm",
				"sampling: expected a sampler state with four 32-bit words, not all 0, as `random`.",
			);
		}
		if (!Array.isArray(recent))
			throw new TokError("lm", "sampling: expected a sampler state with `recent` tokens.");
		this.#random = new Random(random);
		this.#accepted = 0;
		for (const id of recent) this.accept(id);
	}

	/** Reads each recent token's logit where no penalty has touched it, so that a repeated token counts once. */
	#penalise(logits: Float32Array): void {
		const { repetitionPenalty: penalty } = this.#options;
		if (penalty === 1) return;
		const count = Math.min(this.#accepted, this.#recent.length);
		for (let index = 0; index < count; index++) {
			const id = this.#recent[index] as number;
			const logit = logits[id] as number;
			this.#scores[id] = logit < 0 ? logit * penalty : logit / penalty;
		}
	}

	/** Turns the scores into weights: e^((score − highest) / temperature), 1 for the likeliest. Returns their sum. */
	#weigh(highest: number): number {
		const { temperature } = this.#options;
		const scores = this.#scores;
		let mass = 0;
		for (let id = 0; id < scores.length; id++) {
			const weight = Math.exp(((scores[id] as number) - highest) / temperature);
			scores[id] = weight;
			mass += weight;
		}
		return mass;
	}

	/** Returns how many it kept. */
	#keepTopK(k: number, highest: number): number {
		const { temperature } = this.#options;
		const scores = this.#scores;
		const best = this.#best;
		best.start(scores, Math.max(boundOfBest(scores, k, this.#maxima), -Number.MAX_VALUE));
		const kept = Math.min(k, best.count);
		for (let index = 0; index < kept; index++) {
			const id = best.take();
			this.#keptIds[index] = id;
			this.#keptWeights[index] = Math.exp(((scores[id] as number) - highest) / temperature);
		}
		return kept;
	}

	/** Returns how many it kept. */
	#keepTopP(p: number, mass: number): number {
		const weights = this.#scores;
		const best = this.#best;
		// All tokens below (1 − p) · mass / tokens have at most (1 − p) · mass together: they are in the tail that goes.
		best.start(weights, ((1 - p) * mass * (1 - 1e-9)) / weights.length);
		let kept = 0;
		for (let before = 0; best.count > 0 && before < p * mass; kept++) {
			const id = best.take();
			this.#keptIds[kept] = id;
			this.#keptWeights[kept] = weights[id] as number;
			before += weights[id] as number;
		}
		return kept;
	}

	/** Applies top-p and min-p to the kept tokens, then chooses among what is left. The likeliest weighs 1. */
	#draw(kept: number, topP: number, minP: number): number {
		const weights = this.#keptWeights;
		let mass = 0;
		for (let index = 0; index < kept; index++) mass += weights[index] as number;
		let end = 0;
		let before = 0;
		for (; end < kept && (topP === 1 || before < topP * mass); end++) {
			const weight = weights[end] as number;
			if (weight < minP) break;
			before += weight;
		}
		const target = this.#random.uniform() * before;
		let sum = 0;
		for (let index = 0; index < end; index++) {
			sum += weights[index] as number;
			if (sum > target) return this.#keptIds[index] as number;
		}
		// Rounding can leave the sum a hair below the target.
		return this.#keptIds[end - 1] as number;
	}

	#drawFromAll(mass: number, minP: number): number {
		const weights = this.#scores;
		let left = mass;
		if (minP > 0) {
			left = 0;
			for (let id = 0; id < weights.length; id++) {
				if ((weights[id] as number) < minP) weights[id] = 0;
				left += weights[id] as number;
			}
		}
		const target = this.#random.uniform() * left;
		let sum = 0;
		let last = 0;
		for (let id = 0; id < weights.length; id++) {
			const weight = weights[id] as number;
			if (weight === 0) continue;
			sum += weight;
			if (sum > target) return id;
			last = id;
		}
		return last;
	}
}

function argmax(scores: Float64Array): number {
	let best = -1;
	let highest = -Infinity;
	for (let id = 0; id < scores.length; id++) {
		const score = scores[id] as number;
		if (score <= highest) continue;
		if (Number.isNaN(score) || score === Infinity) {
			throw new TokError("lm", `sampling: expected logits that are numbers, got ${score} for token ${id}.`);
		}
		highest = score;
		best = id;
	}
	if (best === -1)
		throw new TokError("lm", "sampling: expected a token that may be chosen, got −Infinity for all.");
	return best;
}
