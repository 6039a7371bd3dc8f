/** Feeds sessions, asks them, and keeps count of the tokens for whoever watches. */
import type { Session } from "@tok/lm";
import type { Answer, RunOptions } from "./evaluation.ts";
import type { Cut } from "./question.ts";

export class Reader<Results> {
	readonly #options: Pick<RunOptions<Results>, "signal" | "onProgress" | "chunk">;
	readonly #totalTokens: number;
	#results: Results;
	#tokens = 0;

	constructor(
		options: Pick<RunOptions<Results>, "signal" | "onProgress" | "chunk">,
		totalTokens: number,
		results: Results,
	) {
		this.#options = options;
		this.#totalTokens = totalTokens;
		this.#results = results;
	}

	/** What is done so far, for the next reports. */
	set results(results: Results) {
		this.#results = results;
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
