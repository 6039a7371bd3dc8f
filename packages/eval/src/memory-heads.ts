/**
 * Which key/value heads remember. Few heads of a model fetch what was said long ago ("retrieval heads", Wu et al.,
 * arXiv 2404.15574), and an archive is of use to these alone. Facts are planted and asked for as in `needle`; a head is
 * as good as the part of its attention, while it answers, that falls on the planted sentence.
 */
import { formatPolicy } from "@tok/kv-cache";
import type { Model, RecalledPassage } from "@tok/lm";
import { fail } from "./errors.ts";
import type { EvaluationOptions, Recall } from "./evaluation.ts";
import { planNeedles } from "./needle-plan.ts";
import { grade, Reader, readingOptions } from "./reader.ts";
import { scoreAnswers } from "./score.ts";

export interface MemoryHeadsOptions extends EvaluationOptions<HeadRanking> {
	/** The text between fact and question, or its ids. */
	readonly filler: string | ArrayLike<number>;
	/** Tokens of filler between them: more than the policy's window. Defaults to 900. */
	readonly gap?: number;
	/** Streams, 1 to 4,096. Defaults to 16. */
	readonly samples?: number;
}

/** The heads, best first, and the answers during which they were watched. */
export interface HeadRanking extends Recall {
	readonly heads: readonly RankedHead[];
}

export interface RankedHead {
	readonly layer: number;
	/** Key/value head of the layer. */
	readonly head: number;
	/** Share of its query heads' attention that fell on the planted sentence, in the mean over all answers: 0 to 1. */
	readonly mass: number;
}

/** Ranks the heads that the model was loaded with. Throws for a policy without memory. */
export async function rankMemoryHeads(model: Model, options: MemoryHeadsOptions): Promise<HeadRanking> {
	const { policy, gap = 900, onProgress, signal, chunk } = options;
	if (!policy.some(({ recall }) => recall !== undefined))
		fail(
			`policy: expected one with memory, got ${formatPolicy(policy)}. ` +
				"Write one such as sink:4,memory:4096/8x16,rolling:252.",
		);
	const plan = planNeedles(model.tokenizer, { ...options, gaps: [gap] });
	const mass = new Map<string, number>();
	const none: HeadRanking = { heads: [], ...scoreAnswers([]) };
	const reader = new Reader<HeadRanking>(
		{
			signal,
			...(chunk !== undefined && { chunk }),
			...(onProgress && {
				onProgress: (progress) => onProgress({ ...progress, results: progress.results[0] ?? none }),
			}),
		},
		plan.tokens,
		[none],
	);
	for (const [index, { opening, gapStart, question, fact, distance }] of plan.samples.entries()) {
		const session = model.createSession({ policy, ...readingOptions(options) });
		try {
			await reader.read(session, opening);
			await reader.read(
				session,
				Array.from({ length: gap }, (_, place) => plan.filler[gapStart + place] as number),
			);
			const got = await reader.ask(session, question);
			for (const passage of session.recalled()) if (isOf(passage, fact)) addMass(mass, passage);
			const answer = grade(question.after, got, (ids) => model.tokenizer.decode(ids), gap + distance);
			reader.add(0, answer, { heads: ranked(mass, index + 1) });
		} finally {
			session.dispose();
		}
	}
	return reader.results[0] ?? none;
}

function isOf({ source, start, ids }: RecalledPassage, fact: { start: number; end: number }): boolean {
	return source === "stream" && start < fact.end && start + ids.length > fact.start;
}

function addMass(sums: Map<string, number>, { heads }: RecalledPassage): void {
	for (const { layer, head, mass } of heads) {
		const name = `${layer}.${head}`;
		sums.set(name, (sums.get(name) ?? 0) + mass);
	}
}

function ranked(sums: ReadonlyMap<string, number>, samples: number): RankedHead[] {
	return [...sums]
		.map(([name, mass]) => {
			const [layer, head] = name.split(".").map(Number) as [number, number];
			return { layer, head, mass: mass / samples };
		})
		.sort((a, b) => b.mass - a.mass || a.layer - b.layer || a.head - b.head);
}
