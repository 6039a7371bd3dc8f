/**
 * A fact planted in filler text, and asked for after a gap ("needle in a haystack", as in Mohtashami and Jaggi's
 * passkey retrieval, arXiv 2305.16300): what is left of it once the window has moved past?
 *
 * Samples are streams of their own, which differ in code and in filler. A stream is read once for all gaps: a shorter
 * gap's question is asked of a fork, which leaves the stream as it was. With an archive each stream is a fork of a session
 * that has it: many facts can be looked for among 100,000 tokens that were read once.
 */
import type { Model, Session } from "@tok/lm";
import type { EvaluationOptions, Recall } from "./evaluation.ts";
import { type NeedlePlan, type NeedleSample, planNeedles } from "./needle-plan.ts";
import { grade, Reader, readingOptions } from "./reader.ts";
import { scoreAnswers } from "./score.ts";

export interface NeedleOptions extends EvaluationOptions<readonly NeedleResult[]> {
	/** The text between fact and question, or its ids. Samples read from different places of it. */
	readonly filler: string | ArrayLike<number>;
	/** Tokens of filler between the end of the (last) planted sentence and the question, exactly. Each ≥ 0. */
	readonly gaps: readonly number[];
	/** Streams, 1 to 4,096. Defaults to 16. */
	readonly samples?: number;
	/** Facts planted in a stream, 64 tokens of filler apart, one of which is asked for; 1 to 8. Defaults to 1. */
	readonly facts?: number;
	/** Asks in other words than the planted sentence has. Defaults to false. */
	readonly paraphrase?: boolean;
	/** An archive file that every stream begins with: see `Model.createSessionWithArchive`. Defaults to none. */
	readonly archive?: string | Blob | undefined;
}

export interface NeedleResult extends Recall {
	/** Tokens of filler. */
	readonly gap: number;
}

/** One result per gap, in ascending order. */
export async function needle(model: Model, options: NeedleOptions): Promise<readonly NeedleResult[]> {
	const plan = planNeedles(model.tokenizer, options);
	const none = plan.gaps.map((gap): NeedleResult => ({ gap, ...scoreAnswers([]) }));
	const reader = new Reader(options, plan.tokens, none);
	const { policy, archive, signal } = options;
	const empty = { policy, ...readingOptions(options) };
	using remembering =
		archive === undefined
			? undefined
			: await model.createSessionWithArchive(archive, { ...empty, ...(signal && { signal }) });
	for (const sample of plan.samples) {
		using session = remembering?.fork() ?? model.createSession(empty);
		await readSample(model, reader, session, plan, sample);
	}
	return reader.results;
}

async function readSample(
	{ tokenizer }: Model,
	reader: Reader<NeedleResult>,
	session: Session,
	{ gaps, filler }: NeedlePlan,
	{ opening, gapStart, question, distance }: NeedleSample,
): Promise<void> {
	await reader.read(session, opening);
	let read = 0;
	for (const [index, gap] of gaps.entries()) {
		await reader.read(
			session,
			Array.from({ length: gap - read }, (_, place) => filler[gapStart + read + place] as number),
		);
		read = gap;
		// After the last question nothing is read, so the stream need not be spared.
		const asked = index === gaps.length - 1 ? session : session.fork();
		try {
			const got = await reader.ask(asked, question);
			reader.add(
				index,
				grade(question.after, got, (ids) => tokenizer.decode(ids), gap + distance),
			);
		} finally {
			asked.dispose();
		}
	}
}
