/** `tok eval compare` and `tok eval perplexity`: policies on the same tokens, with intervals. */
import { comparePerplexity, type PerplexityResult } from "@tok/eval";
import { formatPolicy, type Policy, parsePolicy } from "@tok/kv-cache";
import type { ArgsDef } from "citty";
import type { Command, Context } from "../../command.ts";
import { fail } from "../../errors.ts";
import { prepareTokens, tokenFlags } from "../../read-tokens.ts";
import { defined, jsonFlag, modelFlag, policyHint, readRunFlags, runFlags } from "../../shared-flags.ts";
import { formatCount } from "../../terminal/format.ts";
import { policyFlag, seedFlag } from "./evaluation-flags.ts";
import { formatComparison } from "./perplexity-columns.ts";
import { plotFlag, readPlotFlag } from "./plot-flag.ts";
import { runEvaluation, writeReport } from "./run-evaluation.ts";

const blockFlag: ArgsDef = {
	block: {
		type: "string",
		valueHint: "tokens",
		description: "Tokens that are drawn together for the interval, as neighbours are alike. Default: 256",
	},
};

export const perplexity: Command = {
	name: "perplexity",
	description: "Score a text under one policy: perplexity with a 95 % interval",
	args: {
		...modelFlag,
		...tokenFlags,
		...policyFlag,
		...blockFlag,
		...seedFlag,
		...runFlags,
		...plotFlag,
		...jsonFlag,
	},
	examples: [
		[
			"tok eval perplexity --text-file book.txt --tokens 8192 --policy sink:4,rolling:252",
			"How far the perplexity of 8,192 tokens says something of the rest of the book.",
		],
	],
	run: (context) =>
		compareUnder(context, readPolicies(context.flags.texts("policy"), ["sink:4,rolling:1020"])),
};

export const compare: Command = {
	name: "compare",
	description: "Score a text under several policies, token by token: which is better, and how surely?",
	args: {
		...modelFlag,
		...tokenFlags,
		policy: {
			type: "string",
			required: true,
			valueHint: "policy",
			description: `${policyHint}. Give it once for each policy; the first is what others are compared with`,
		},
		...blockFlag,
		...seedFlag,
		...runFlags,
		...plotFlag,
		...jsonFlag,
	},
	repeatable: ["policy"],
	examples: [
		[
			"tok eval compare --text-file book.txt --tokens 4096 --policy dense --policy sink:4,rolling:252 --policy rolling:256",
			"What a window costs, with and without the first four tokens.",
		],
	],
	async run(context) {
		const texts = context.flags.texts("policy");
		if (texts.length < 2)
			fail(`--policy: expected two policies or more, each with its own --policy, got ${texts.length}.`);
		await compareUnder(context, readPolicies(texts));
	},
};

function readPolicies(texts: readonly string[], fallback: readonly string[] = []): Policy[] {
	const policies = (texts.length === 0 ? fallback : texts).map(parsePolicy);
	const names = policies.map(formatPolicy);
	const twice = names.find((name, index) => names.indexOf(name) !== index);
	if (twice !== undefined) fail(`--policy: expected each policy once, got ${twice} twice.`);
	return policies;
}

async function compareUnder(context: Context, policies: readonly Policy[]): Promise<void> {
	const { flags, io } = context;
	const settings = readRunFlags(flags);
	const block = flags.integer("block", 1) ?? 256;
	const seed = flags.integer("seed", 0, 2 ** 32 - 1) ?? 1;
	const plot = await readPlotFlag(flags);
	const readTokens = await prepareTokens(flags, io);
	await runEvaluation<readonly PerplexityResult[]>(
		context,
		settings,
		{
			policies,
			run: (model, options) =>
				comparePerplexity(model, { ...readTokens(model), policies, block, seed, ...options }),
			describe: (results) =>
				results.length === 0 ? undefined : `${results.length} of ${policies.length} policies`,
		},
		async ({ results, complete, about }) => {
			const [first] = results;
			if (first === undefined) throw new Error("internal: there is no result.");
			const of = `${formatCount(first.scored)} tokens in blocks of ${formatCount(block)}`;
			const json = {
				...about,
				...defined({ positions: settings.positions }),
				block,
				seed,
				complete,
				...(policies.length === 1 ? first : { policies: results }),
			};
			await writeReport(context, json, `${of}, ${about.precision}\n\n${formatComparison(results)}`, () =>
				plot((charts) =>
					charts.drawPerplexities({
						title: "Perplexity under each policy",
						subtitle: `${of}; ${about.model}, ${about.precision}. Whiskers are 95 % intervals.`,
						results,
					}),
				),
			);
		},
	);
}
