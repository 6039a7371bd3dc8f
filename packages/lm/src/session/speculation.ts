/**
 * Guessed tokens, read together with the one that is pending. Each row's logits choose the next token as they would
 * alone; as long as that is the guess, the next row's are those that a run of its own would give, up to rounding, and
 * the run is spared. So a guess changes how long a stream takes, and not what it says.
 *
 * A row costs about a quarter of a run, so guesses have to be right one time in three or so: as many are made as were
 * right before, and about twice as many once all of them were.
 */
import type { DecoderState, Reading } from "../decoder/decoder-state.ts";
import { LEAST_TAIL } from "../decoder/token-tail.ts";
import type { SpeculationCounts } from "../model.ts";
import { NgramLookup } from "./ngram-lookup.ts";

export class Speculation {
	readonly #state: DecoderState;
	readonly #most: number;
	readonly #lookup = new NgramLookup(LEAST_TAIL);
	/** How many tokens to guess. */
	#width = 1;
	/** Of the last run. */
	#guesses: readonly number[] = [];
	#accepted = 0;
	/** Its logits are [1 + guesses, vocabulary]. */
	#reading: Reading | undefined;
	readonly #counts = { guessed: 0, accepted: 0, runs: 0 };

	/** Guesses at most `most` tokens at a time. */
	constructor(state: DecoderState, most: number) {
		this.#state = state;
		this.#most = most;
	}

	get counts(): SpeculationCounts {
		return { ...this.#counts };
	}

	/** Notes a token of the stream, whether it has been read or not. */
	push(id: number): void {
		this.#lookup.push(id);
	}

	/**
	 * Reads the token that was noted last. `left` tokens at most will be chosen from here on. Returns its logits, which
	 * hold until the next call.
	 */
	async read(id: number, left: number): Promise<Float32Array> {
		if (this.#guesses[this.#accepted] === id) {
			this.#state.keepGuess();
			this.#accepted++;
			this.#counts.accepted++;
		} else await this.#run(id, left);
		const { logits } = this.#reading as Reading;
		const width = logits.length / (1 + this.#guesses.length);
		return logits.subarray(this.#accepted * width, (this.#accepted + 1) * width);
	}

	dispose(): void {
		this.#reading?.release();
		this.#reading = undefined;
	}

	async #run(id: number, left: number): Promise<void> {
		const [guessed, accepted] = [this.#guesses.length, this.#accepted];
		if (guessed > 0) this.#width = accepted === guessed ? 2 * accepted + 1 : Math.max(1, accepted);
		const guesses = this.#lookup.guess(Math.min(this.#width, this.#most, left - 1));
		const reading = await this.#state.readAhead([id, ...guesses]);
		this.#reading?.release();
		this.#reading = reading;
		this.#guesses = guesses.slice(0, reading.take - 1);
		this.#accepted = 0;
		this.#counts.guessed += this.#guesses.length;
		this.#counts.runs++;
	}
}
