/** `tok eval needle`: a code planted in a text, and asked for after a gap. */
import { needle as evaluate, type NeedleResult } from "@tok/eval";
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import type { Command } from "../../command.ts";
import { fail } from "../../errors.ts";
import { memoryFlag, policyFor, readMemoryFlag, settingsFor } from "../../memory-flags.ts";
import { readText } from "../../read-input.ts";
import { defined, jsonFlag, modelFlag, readPolicy, readRunFlags, runFlags } from "../../shared-flags.ts";
import { formatCount } from "../../terminal/format.ts";
import { policyFlag, seedFlag } from "./evaluation-flags.ts";
import { plotFlag, readPlotFlag } from "./plot-flag.ts";
import { describeRounds, formatRecall, recallChart } from "./recall-report.ts";
import { runEvaluation, writeReport } from "./run-evaluation.ts";

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
		...memoryFlag,
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
		[
			"tok eval needle --text-file other.txt --memory book.tokmem --samples 100",
			"Among a whole book that tok read has archived. The text between must be another one.",
		],
	],
	async run(context) {
		const { flags, io, services } = context;
		const archive = await readMemoryFlag(flags, services);
		const settings = settingsFor(readRunFlags(flags), archive);
		const policy =
			readPolicy(flags) ??
			(archive === undefined ? parsePolicy("sink:4,rolling:1020") : policyFor(archive, { turns: false }));
		const gaps = flags.integers("gap", 0) ?? [900];
		const samples = flags.integer("samples", 1, 4096) ?? 16;
		const seed = flags.integer("seed", 0, 2 ** 32 - 1) ?? 1;
		const facts = flags.integer("facts", 1, 8) ?? 1;
		const paraphrase = flags.has("paraphrase");
		const plot = await readPlotFlag(flags);
		const filler = await readText("--text-file", flags.text("text-file") ?? "-", io);
		if (filler.trim() === "") fail("--text-file: expected a text, got an empty one.");
		await runEvaluation<readonly NeedleResult[]>(
			context,
			settings,
			{
				policies: [policy],
				run: (model, options) =>
					evaluate(model, {
						policy,
						filler,
						gaps,
						samples,
						seed,
						facts,
						paraphrase,
						archive: archive?.path,
						...options,
					}),
				describe: (results) => describeRounds(results, samples, "samples"),
			},
			async ({ results, complete, about }) => {
				const text = formatPolicy(policy);
				const kind = facts === 1 ? "one fact" : `one of ${facts} facts`;
				const manner = `${paraphrase ? ", asked for in other words" : ""}${archive === undefined ? "" : `, among ${formatCount(archive.tokens)} tokens of an archive`}`;
				const json = {
					...about,
					policy: text,
					...defined({ positions: settings.positions }),
					facts,
					paraphrase,
					...(archive && { archive: { file: archive.path, tokens: archive.tokens } }),
					seed,
					complete,
					// One gap is the object itself, several are an array in it.
					...(gaps.length === 1 ? results[0] : { gaps: results }),
				};
				await writeReport(
					context,
					json,
					`${text}, ${about.precision}: ${kind}${manner}\n\n${formatRecall(results, "gap", ({ gap }) => gap)}`,
					() =>
						plot((charts) =>
							charts.drawRecall(
								recallChart(
									results,
									`What is left of a code in a text: ${kind}${manner}`,
									`${text}; ${about.model}, ${about.precision}`,
								),
							),
						),
				);
			},
		);
	},
};
