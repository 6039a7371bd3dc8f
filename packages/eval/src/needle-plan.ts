/**
 * What one stream of the needle evaluation reads, as token ids:
 *
 *   start of text | 64 of filler | fact | 64 of filler | fact | ... | gap of filler | question
 *
 * The first 64 keep the fact out of the sinks: a policy that keeps the first four tokens must not pass for a memory.
 */
import type { Tokenizer } from "@tok/lm";
import { fail, integer, integers } from "./errors.ts";
import type { NeedleOptions } from "./needle.ts";
import { names, needleWording, plantedEnd } from "./needle-wording.ts";
import { type Cut, encode, encodeCut, startOfText } from "./question.ts";
import { Random } from "./random.ts";

/** Tokens of filler before each fact. */
const LEAD = 64;

/** So that codes, of which there are 90,000, can all be different. */
const mostSamples = 4096;

export interface NeedlePlan {
	/** Ascending. */
	readonly gaps: readonly number[];
	readonly filler: ArrayLike<number>;
	readonly samples: readonly NeedleSample[];
	/** Tokens that all streams and questions take together. */
	readonly tokens: number;
}

export interface NeedleSample {
	/** Everything before the gap. */
	readonly opening: readonly number[];
	/** Index in the filler where the gap begins. */
	readonly gapStart: number;
	readonly question: Cut;
	/** Stream indices of the sentence that is asked about. */
	readonly fact: { readonly start: number; readonly end: number };
	/** Tokens from the code that is asked about to the answer, without the gap's. */
	readonly distance: number;
}

type Settings = Pick<NeedleOptions, "filler" | "gaps" | "samples" | "seed" | "facts" | "paraphrase">;

/** Checks the options and draws all samples. */
export function planNeedles(tokenizer: Tokenizer, settings: Settings): NeedlePlan {
	const { samples: count = 16, seed = 1, facts = 1, paraphrase = false } = settings;
	const gaps = integers("gaps", settings.gaps, 0, Number.MAX_SAFE_INTEGER).sort((a, b) => a - b);
	const longest = gaps.at(-1) as number;
	integer("samples", count, 1, mostSamples);
	integer("facts", facts, 1, names.length, "There are no more names to ask for.");
	const filler = typeof settings.filler === "string" ? encode(tokenizer, settings.filler) : settings.filler;
	const spare = filler.length - (LEAD * facts + longest);
	if (spare < 0) {
		fail(
			`filler: expected at least ${LEAD * facts + longest} tokens ` +
				`(${facts === 1 ? "" : `${facts} × `}${LEAD} before the fact${facts === 1 ? "" : "s"} + ${longest} after), ` +
				`got ${filler.length}. Give a longer text, or a smaller gap: filler that repeats itself would be easier to read.`,
		);
	}
	const random = new Random(seed);
	const used = new Set<string>();
	const start = startOfText(tokenizer);
	const samples = Array.from({ length: count }, (_, sample): NeedleSample => {
		const offset = random.below(spare + 1);
		const order = random.permutation(names.length).subarray(0, facts);
		// Each place is asked about equally often.
		const asked = sample % facts;
		const opening = [...start];
		let question: Cut = { before: [], after: [] };
		let codeAt = 0;
		let at = { start: 0, end: 0 };
		for (let fact = 0; fact < facts; fact++) {
			const name = facts === 1 ? undefined : names[order[fact] as number];
			const code = random.code(used);
			const wording = needleWording(name, paraphrase);
			for (let index = 0; index < LEAD; index++) opening.push(filler[offset + fact * LEAD + index] as number);
			const planted = encodeCut(tokenizer, wording.planted, code + plantedEnd);
			if (fact === asked) {
				codeAt = opening.length + planted.before.length;
				at = { start: opening.length, end: codeAt + planted.after.length };
				question = encodeCut(tokenizer, wording.question, code);
			}
			opening.push(...planted.before, ...planted.after);
		}
		return {
			opening,
			gapStart: offset + facts * LEAD,
			question,
			fact: at,
			distance: opening.length - codeAt + question.before.length,
		};
	});
	const tokens = samples.reduce(
		(sum, { opening, question: { before, after } }) =>
			sum + opening.length + longest + gaps.length * (before.length + after.length),
		0,
	);
	return { gaps, filler, samples, tokens };
}
