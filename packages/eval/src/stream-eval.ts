/**
 * A stream of lines, each with a value, and every ten lines a question about the one that is k lines back, for several
 * k (after StreamEval: Xiao et al., arXiv 2309.17453, table 7).
 *
 * There the questions stand in the stream. Here each is asked of a fork: so all distances share one stream that no
 * question has changed, they are asked about at the same places, and one more distance costs a question, not a stream.
 * Questions begin when the furthest line is in the stream.
 */
import type { Model, Session } from "@tok/lm";
import type { Answer, EvaluationOptions, Recall } from "./evaluation.ts";
import { grade, Reader, readingOptions } from "./reader.ts";
import { scoreAnswers } from "./score.ts";
import { planStream, type StreamLine } from "./stream-plan.ts";

export interface StreamEvalOptions extends EvaluationOptions<readonly StreamEvalResult[]> {
	/** How many lines back the ones are that are asked for, 1 to 102,400; 1 is the last line. */
	readonly distances: readonly number[];
	/** Questions for each distance, an integer ≥ 1. Defaults to 20. */
	readonly queries?: number;
	/** Lines between two questions, an integer ≥ 1. Defaults to 10. */
	readonly every?: number;
}

export interface StreamEvalResult extends Recall {
	/** Lines back. */
	readonly lines: number;
}

/** One result per distance, in ascending order. */
export async function streamEval(
	model: Model,
	options: StreamEvalOptions,
): Promise<readonly StreamEvalResult[]> {
	const plan = planStream(model.tokenizer, options);
	const none = plan.distances.map((lines): StreamEvalResult => ({ lines, ...scoreAnswers([]) }));
	const reader = new Reader(options, plan.tokens, none);
	const session = model.createSession({ policy: options.policy, ...readingOptions(options) });
	try {
		await reader.read(session, plan.opening);
		/** Tokens of the stream before each line. */
		const starts: number[] = [];
		let length = plan.opening.length;
		let read = 0;
		for (const stop of plan.stops) {
			const lines = plan.lines.slice(read, stop);
			for (const { ids } of lines) {
				starts.push(length);
				length += ids.length;
			}
			read = stop;
			await reader.read(
				session,
				lines.flatMap(({ ids }) => ids),
			);
			for (const [index, distance] of plan.distances.entries()) {
				const line = plan.lines[stop - distance] as StreamLine;
				const tokensBack = length - (starts[stop - distance] as number) - line.codeAt;
				reader.add(index, await askFork(model, reader, session, line, tokensBack));
			}
		}
	} finally {
		session.dispose();
	}
	return reader.results;
}

async function askFork(
	{ tokenizer }: Model,
	reader: Reader<StreamEvalResult>,
	session: Session,
	{ question }: StreamLine,
	tokensBack: number,
): Promise<Answer> {
	const fork = session.fork();
	try {
		const got = await reader.ask(fork, question);
		return grade(question.after, got, (ids) => tokenizer.decode(ids), tokensBack + question.before.length);
	} finally {
		fork.dispose();
	}
}
