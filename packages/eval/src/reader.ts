/** Feeds sessions, asks them, and keeps the results, for whoever watches too. */
import type { Session } from "@tok/lm";
import type { Answer, Recall, RunOptions } from "./evaluation.ts";
import type { Cut } from "./question.ts";
import { scoreAnswers } from "./score.ts";

type Watched<Result> = Pick<RunOptions<readonly Result[]>, "signal" | "onProgress" | "chunk">;

export class Reader<Result extends Recall> {
	readonly #options: Watched<Result>;
	readonly #totalTokens: number;
	#results: readonly Result[];
	#tokens = 0;

	/** @param results Without answers, in the order of their indices in `add`. */
	constructor(options: Watched<Result>, totalTokens: number, results: readonly Result[]) {
		this.#options = options;
		this.#totalTokens = totalTokens;
		this.#results = results;
	}

	get results(): readonly Result[] {
		return this.#results;
	}

	/** Adds an answer to one of the results, and what else has changed of it. */
	add(index: number, answer: Answer, rest: Partial<Result> = {}): void {
		this.#results = this.#results.map((result, place) =>
			place === index ? { ...result, ...scoreAnswers([...result.answers, answer]), ...rest } : result,
		);
		this.#report(0);
	}

	async read(session: Session, ids: readonly number[]): Promise<void> {
		const { signal, chunk = 128 } = this.#options;
		// A session copies what it has still to read after every chunk, so a long text is given in pieces. Whole chunks:
		// they are cut as in one piece.
		const most = 32 * chunk;
		for (let from = 0; from < ids.length; from += most) {
			const piece = ids.slice(from, from + most);
			await session.append(piece, { signal, onProgress: (read) => this.#report(read) });
			this.#tokens += piece.length;
		}
	}

	/** The likeliest tokens after the question, as many as the answer has or until the model ends its text. */
	async ask(session: Session, { before, after }: Cut): Promise<number[]> {
		const { signal } = this.#options;
		const ids: number[] = [];
		const generation = session.generate({
			prompt: before,
			maxTokens: after.length,
			temperature: 0,
			signal,
		});
		for await (const { id } of generation) ids.push(id);
		// A generation ends in order when it is aborted; an evaluation does not.
		signal?.throwIfAborted();
		this.#tokens += before.length + after.length;
		return ids;
	}

	#report(more: number): void {
		this.#options.onProgress?.({
			tokens: this.#tokens + more,
			totalTokens: this.#totalTokens,
			results: this.#results,
		});
	}
}

/** The options that sessions and likelihoods share, absent where they are to have their defaults. */
export function readingOptions({
	positions,
	chunk,
}: Pick<RunOptions<unknown>, "positions" | "chunk">): Pick<RunOptions<unknown>, "positions" | "chunk"> {
	return { ...(positions !== undefined && { positions }), ...(chunk !== undefined && { chunk }) };
}

/** Compares an answer with the expected one, token by token. */
export function grade(
	expected: readonly number[],
	got: readonly number[],
	decode: (ids: readonly number[]) => string,
	distance: number,
): Answer {
	const tokensRight = expected.filter((id, place) => got[place] === id).length;
	return {
		expected: decode(expected),
		got: decode(got),
		exact: tokensRight === expected.length,
		tokensRight,
		tokens: expected.length,
		distance,
	};
}
