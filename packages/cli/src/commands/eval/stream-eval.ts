/** `tok eval streameval`: a stream of lines, and questions about lines so many back. */
import { streamEval as evaluate, type StreamEvalResult } from "@tok/eval";
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import type { Command } from "../../command.ts";
import { defined, jsonFlag, modelFlag, readPolicy, readRunFlags, runFlags } from "../../shared-flags.ts";
import { policyFlag, seedFlag } from "./evaluation-flags.ts";
import { plotFlag, readPlotFlag } from "./plot-flag.ts";
import { describeRounds, formatRecall, recallChart } from "./recall-report.ts";
import { runEvaluation, writeReport } from "./run-evaluation.ts";

export const streamEval: Command = {
	name: "streameval",
	description: "Read a stream of lines with values, ask every few lines for the one so many lines back",
	args: {
		...modelFlag,
		...policyFlag,
		distances: {
			type: "string",
			valueHint: "lines,…",
			description: "How many lines back; about 20 tokens a line. Default: 1,5,10,20,50,100",
		},
		queries: { type: "string", valueHint: "count", description: "Questions for each distance. Default: 20" },
		every: { type: "string", valueHint: "lines", description: "Lines between two questions. Default: 10" },
		...seedFlag,
		...runFlags,
		...plotFlag,
		...jsonFlag,
	},
	examples: [
		[
			"tok eval streameval --policy sink:4,rolling:252",
			"A window of 256 holds twelve lines; those behind it are gone.",
		],
		[
			"tok eval streameval --policy sink:4,rolling:1020 --distances 10,40,100,1000 --queries 50 --plot recall.svg",
			"More questions make the intervals narrower. With a chart.",
		],
	],
	async run(context) {
		const { flags } = context;
		const settings = readRunFlags(flags);
		const policy = readPolicy(flags) ?? parsePolicy("sink:4,rolling:1020");
		const distances = flags.integers("distances", 1, 102_400) ?? [1, 5, 10, 20, 50, 100];
		const queries = flags.integer("queries", 1, 100_000) ?? 20;
		const every = flags.integer("every", 1, 100_000) ?? 10;
		const seed = flags.integer("seed", 0, 2 ** 32 - 1) ?? 1;
		const plot = await readPlotFlag(flags);
		await runEvaluation<readonly StreamEvalResult[]>(
			context,
			settings,
			{
				policies: [policy],
				run: (model, options) => evaluate(model, { policy, distances, queries, every, seed, ...options }),
				describe: (results) => describeRounds(results, queries, "queries"),
			},
			async ({ results, complete, about }) => {
				const text = formatPolicy(policy);
				const json = {
					...about,
					policy: text,
					...defined({ positions: settings.positions }),
					every,
					seed,
					complete,
					distances: results,
				};
				await writeReport(
					context,
					json,
					`${text}, ${about.precision}: a question every ${every} lines\n\n` +
						formatRecall(results, "lines back", ({ lines }) => lines),
					() =>
						plot((charts) =>
							charts.drawRecall(
								recallChart(
									results,
									"What is left of a stream of lines",
									`${text}; ${about.model}, ${about.precision}`,
								),
							),
						),
				);
			},
		);
	},
};
