/** `tok eval needle`: a code planted in a text, and asked for after a gap. */
import { needle as evaluate, type NeedleResult } from "@tok/eval";
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import type { Command } from "../../command.ts";
import { fail } from "../../errors.ts";
import { write, writeJson } from "../../io.ts";
import { readText } from "../../read-input.ts";
import { defined, jsonFlag, modelFlag, readPolicy, readRunFlags, runFlags } from "../../shared-flags.ts";
import { formatColumns, formatCount } from "../../terminal/format.ts";
import { policyFlag, seedFlag } from "./evaluation-flags.ts";
import { plotFlag, readPlotFlag } from "./plot-flag.ts";
import { type Outcome, runEvaluation } from "./run-evaluation.ts";
import { scoreCells, scoreHead } from "./score-columns.ts";

export const needle: Command = {
	name: "needle",
	description: "Plant a five-digit code in a text, read on, ask for it: how often is the answer right?",
	args: {
		...modelFlag,
		...policyFlag,
		"text-file": {
			type: "string",
			required: true,
			valueHint: "file",
			description: "UTF-8 text to plant the code in; - for standard input",
		},
		gap: {
			type: "string",
			valueHint: "tokens,…",
			description: "Tokens of text between the code and the question; several with commas. Default: 900",
		},
		samples: {
			type: "string",
			valueHint: "count",
			description: "Streams, each with its own code. Default: 16",
		},
		...seedFlag,
		facts: {
			type: "string",
			valueHint: "count",
			description: "Plant several codes, each with a name, and ask for one of them; 1 to 8. Default: 1",
		},
		paraphrase: { type: "boolean", description: "Ask in other words than those of the planted sentence" },
		...runFlags,
		...plotFlag,
		...jsonFlag,
	},
	examples: [
		[
			"tok eval needle --text-file book.txt --policy sink:4,rolling:252 --gap 60,900",
			"Inside the window the code is found; 900 tokens later it has left.",
		],
		[
			"tok eval needle --text-file book.txt --policy dense --gap 900 --json",
			"The same with everything kept.",
		],
		[
			"tok eval needle --text-file book.txt --policy dense --facts 4 --paraphrase",
			"Four codes with names, and a question in other words. Hard for a small model.",
		],
	],
	async run(context) {
		const { flags, io } = context;
		const settings = readRunFlags(flags);
		const policy = readPolicy(flags) ?? parsePolicy("sink:4,rolling:1020");
		const gaps = flags.integers("gap", 0) ?? [900];
		const samples = flags.integer("samples", 1, 4096) ?? 16;
		const seed = flags.integer("seed", 0, 2 ** 32 - 1) ?? 1;
		const facts = flags.integer("facts", 1, 8) ?? 1;
		const paraphrase = flags.has("paraphrase");
		const writePlot = await readPlotFlag(flags);
		const filler = await readText("--text-file", flags.text("text-file") ?? "-", io);
		if (filler.trim() === "") fail("--text-file: expected a text, got an empty one.");
		await runEvaluation<readonly NeedleResult[]>(
			context,
			settings,
			{
				policies: [policy],
				run: (model, options) =>
					evaluate(model, { policy, filler, gaps, samples, seed, facts, paraphrase, ...options }),
				describe: (results) => describeDone(results, samples),
			},
			async (outcome) => {
				const about = {
					...outcome.about,
					policy: formatPolicy(policy),
					...defined({ positions: settings.positions }),
					facts,
					paraphrase,
					seed,
					complete: outcome.complete,
				};
				await writePlot?.((charts) =>
					charts.drawRecall({
						title: `A code that was said a while ago${paraphrase ? ", asked for in other words" : ""}`,
						subtitle: `${about.policy}; ${about.model}, ${about.precision}; ${samples} streams, 95 % intervals.`,
						distance: "tokens back (log scale)",
						points: outcome.results
							.filter((result) => result.samples > 0)
							.map((result) => ({ ...result, distance: result.distance ?? 0 })),
					}),
				);
				if (flags.has("json")) return writeJson(io.stdout, { ...about, ...jsonOf(outcome, gaps.length) });
				const kind = facts === 1 ? "one fact" : `one of ${facts} facts`;
				await write(
					io.stdout,
					`${about.policy}, ${about.precision}: ${kind}${paraphrase ? ", asked for in other words" : ""}\n\n` +
						formatColumns(
							["gap", "tokens back", ...scoreHead],
							outcome.results
								.filter((result) => result.samples > 0)
								.map((result) => [
									formatCount(result.gap),
									formatCount(result.distance ?? 0),
									...scoreCells(result),
								]),
						),
				);
			},
		);
	},
};

/** One gap is the object itself, several are an array in it. */
function jsonOf({ results }: Outcome<readonly NeedleResult[]>, gaps: number): object {
	return gaps === 1 ? { ...results[0] } : { gaps: results };
}

function describeDone(results: readonly NeedleResult[], samples: number): string | undefined {
	// Shorter gaps are asked about first.
	const done = results.at(-1)?.samples ?? 0;
	const begun = results.some((result) => result.samples > 0);
	return begun ? `${done} of ${samples} samples` : undefined;
}
