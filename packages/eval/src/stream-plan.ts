/**
 * What the stream evaluation reads, as token ids: a heading, which fills the sinks, and lines. Every line has a name of
 * its own and carries a code:
 *
 *   line quiet lantern: The registered content of line quiet lantern is <48213>
 *
 * After StreamEval (Xiao et al., arXiv 2309.17453), whose code was never released. Of the forms that were tried, this is
 * the one that a model of 135M parameters answers best: it says the name twice, and closes the code in brackets.
 */
import type { Tokenizer } from "@tok/lm";
import { integer, integers } from "./errors.ts";
import { adjectives, nouns } from "./line-words.ts";
import { type Cut, encode, encodeCut, startOfText } from "./question.ts";
import { Random } from "./random.ts";
import type { StreamEvalOptions } from "./stream-eval.ts";

const heading = "Every line below has a name of its own and a registered content.\n\n";

/** Lines until a name comes again, with another code. */
const mostNames = adjectives.length * nouns.length;

export interface StreamPlan {
	/** In lines, ascending. */
	readonly distances: readonly number[];
	/** Start of text and heading. */
	readonly opening: readonly number[];
	readonly lines: readonly StreamLine[];
	/** Numbers of lines after which there are queries, ascending; the last is that of all lines. */
	readonly stops: readonly number[];
	/** Tokens that the stream and all queries take together. */
	readonly tokens: number;
}

export interface StreamLine {
	readonly ids: readonly number[];
	/** Index of the code's first token in `ids`. */
	readonly codeAt: number;
	/** Asks for this line. */
	readonly question: Cut;
}

type Settings = Pick<StreamEvalOptions, "distances" | "queries" | "every" | "seed">;

/** Checks the options and draws all lines. */
export function planStream(tokenizer: Tokenizer, settings: Settings): StreamPlan {
	const { queries = 20, every = 10, seed = 1 } = settings;
	const distances = integers("distances", settings.distances, 1, mostNames).sort((a, b) => a - b);
	integer("queries", queries, 1, 100_000);
	integer("every", every, 1, 100_000);
	const furthest = distances.at(-1) as number;
	const stops = Array.from({ length: queries }, (_, query) => furthest + query * every);
	const opening = [...startOfText(tokenizer), ...encode(tokenizer, heading)];
	const lines = drawLines(tokenizer, stops.at(-1) as number, new Random(seed));
	let tokens = opening.length + lines.reduce((sum, { ids }) => sum + ids.length, 0);
	for (const stop of stops) {
		for (const distance of distances) {
			const { before, after } = (lines[stop - distance] as StreamLine).question;
			tokens += before.length + after.length;
		}
	}
	return { distances, opening, lines, stops, tokens };
}

function drawLines(tokenizer: Tokenizer, count: number, random: Random): StreamLine[] {
	const order = random.permutation(mostNames);
	// Codes of lines that are near each other differ; far more lines than codes may be asked for.
	const used = new Set<string>();
	return Array.from({ length: count }, (_, index): StreamLine => {
		const place = order[index % mostNames] as number;
		const name = `${adjectives[place % adjectives.length]} ${nouns[Math.floor(place / adjectives.length)]}`;
		if (used.size === 50_000) used.clear();
		const code = random.code(used);
		const text = `line ${name}: The registered content of line ${name} is <`;
		const { before, after } = encodeCut(tokenizer, text, `${code}>\n`);
		return {
			ids: [...before, ...after],
			codeAt: before.length,
			question: encodeCut(tokenizer, text, code),
		};
	});
}
