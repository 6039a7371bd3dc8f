/** `tok eval heads`: which key/value heads remember, and how few of them suffice. */
import { type HeadRanking, type NeedleResult, needle, type RankedHead, rankMemoryHeads } from "@tok/eval";
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import type { Command, Context } from "../../command.ts";
import { fail } from "../../errors.ts";
import { write, writeJson } from "../../io.ts";
import { readText } from "../../read-input.ts";
import { checkSavePath } from "../../sampling-flags.ts";
import {
	jsonFlag,
	modelFlag,
	policyHint,
	type RunSettings,
	readPolicy,
	readRunFlags,
	runFlags,
	someHeads,
} from "../../shared-flags.ts";
import { formatColumns, formatCount, formatShare } from "../../terminal/format.ts";
import { writeAside } from "../../write-aside.ts";
import { seedFlag } from "./evaluation-flags.ts";
import { describeRounds } from "./recall-report.ts";
import { type Outcome, runEvaluation } from "./run-evaluation.ts";

const defaultPolicy = "sink:4,memory:4096/8x16,rolling:252";
const defaultCounts = [4, 8, 14, 20, 30];

/** The best so many heads, and what is answered with them alone. */
interface Choice extends Pick<NeedleResult, "exact" | "samples" | "tokenAccuracy" | "interval"> {
	readonly heads: number;
}

export const heads: Command = {
	name: "heads",
	description: "Find the key/value heads that remember, and how few of them suffice",
	args: {
		...modelFlag,
		policy: {
			type: "string",
			valueHint: "policy",
			description: `${policyHint}. Default: ${defaultPolicy}`,
		},
		"text-file": {
			type: "string",
			required: true,
			valueHint: "file",
			description: "UTF-8 text to plant codes in; - for standard input",
		},
		gap: {
			type: "string",
			valueHint: "tokens",
			description: "Tokens of text between a code and the question. Default: 900",
		},
		samples: {
			type: "string",
			valueHint: "count",
			description: "Streams, each with its own code. Default: 16",
		},
		counts: {
			type: "string",
			valueHint: "heads,…",
			description: `Numbers of heads to try, the best first. Default: ${defaultCounts}`,
		},
		out: {
			type: "string",
			valueHint: "file",
			description:
				"Write the smallest choice that is within one answer of all heads, for --memory-heads FILE",
		},
		...seedFlag,
		...runFlags,
		...jsonFlag,
	},
	examples: [
		["tok eval heads --text-file book.txt --out heads.json", "Rank all heads, and try the best of them …"],
		[
			"tok chat --memory-heads heads.json",
			"… and remember in those alone, for a fraction of the memory and the time.",
		],
	],
	async run(context) {
		const { flags, io } = context;
		const settings = readRunFlags(flags);
		if (someHeads(settings.memoryHeads) !== undefined)
			fail("--memory-heads: expected none, as all heads are ranked. Leave it out.");
		const policy = readPolicy(flags) ?? parsePolicy(defaultPolicy);
		const gap = flags.integer("gap", 1) ?? 900;
		const samples = flags.integer("samples", 1, 4096) ?? 16;
		const seed = flags.integer("seed", 0, 2 ** 32 - 1) ?? 1;
		const counts = flags.integers("counts", 1) ?? defaultCounts;
		const out = flags.text("out");
		if (out !== undefined) await checkSavePath("--out", out);
		const filler = await readText("--text-file", flags.text("text-file") ?? "-", io);
		if (filler.trim() === "") fail("--text-file: expected a text, got an empty one.");
		const common = { policy, filler, samples, seed };

		const ranking = await evaluated<HeadRanking>(context, settings, {
			policies: [policy],
			run: (model, options) => rankMemoryHeads(model, { ...common, gap, ...options }),
			describe: (result) => describeRounds([result], samples, "samples with all heads"),
		});
		if (ranking === undefined) return;
		const all = ranking.results.heads;
		if (all.length === 0)
			fail(
				`--gap: expected the codes to lie outside the window of ${formatPolicy(policy)}, got ${gap} and none recalled.`,
			);
		const tried: Choice[] = [];
		let { complete } = ranking;
		for (const count of [...new Set(counts)].sort((a, b) => a - b)) {
			if (count >= all.length || !complete) break;
			const best = all.slice(0, count).map(({ layer, head }) => ({ layer, heads: [head] }));
			// A graph for each choice is not worth keeping.
			const chosen = { ...settings, memoryHeads: best, prepare: false };
			const outcome = await evaluated<readonly NeedleResult[]>(context, chosen, {
				policies: [policy],
				run: (model, options) => needle(model, { ...common, gaps: [gap], ...options }),
				describe: (results) => describeRounds(results, samples, `samples with ${count} heads`),
			});
			complete = outcome?.complete === true;
			const [result] = outcome?.results ?? [];
			if (complete && result !== undefined) tried.push(choiceOf(count, result));
		}
		const choices = [...tried, choiceOf(all.length, ranking.results)];
		const enough = choices.find(({ exact }) => exact >= ranking.results.exact - 1);
		const names = all.map(nameOf);
		const report = {
			...ranking.about,
			policy: formatPolicy(policy),
			gap,
			seed,
			complete,
			heads: names.slice(0, enough?.heads),
			choices,
			ranking: all,
		};
		// Half a search would name heads that are not the fewest.
		if (out !== undefined && complete)
			await writeAside("--out", out, `${JSON.stringify(report, undefined, "\t")}\n`);
		if (flags.has("json")) await writeJson(io.stdout, report);
		else await write(io.stdout, tableOf(report, all));
	},
};

/** The outcome, also of an evaluation that was interrupted; undefined when there is nothing to tell. */
async function evaluated<Results>(
	context: Context,
	settings: RunSettings,
	evaluation: Parameters<typeof runEvaluation<Results>>[2],
): Promise<Outcome<Results> | undefined> {
	let outcome: Outcome<Results> | undefined;
	await runEvaluation(context, settings, evaluation, async (result) => {
		outcome = result;
	});
	return outcome;
}

function choiceOf(
	heads: number,
	{ exact, samples, tokenAccuracy, interval }: Choice | NeedleResult | HeadRanking,
): Choice {
	return { heads, exact, samples, tokenAccuracy, interval };
}

function nameOf({ layer, head }: RankedHead): string {
	return `${layer}.${head}`;
}

function tableOf(
	{
		policy,
		precision,
		gap,
		heads,
		choices,
	}: { policy: string; precision: string; gap: number; heads: readonly string[]; choices: readonly Choice[] },
	all: readonly RankedHead[],
): string {
	const table = formatColumns(
		["heads", "exact", "share", "95 % interval", "tokens right", "attention of the last"],
		choices.map(({ heads: count, exact, samples, interval, tokenAccuracy }) => [
			formatCount(count),
			`${exact} of ${samples}`,
			formatShare(exact / samples),
			`${Math.round(100 * interval.low)} to ${formatShare(interval.high)}`,
			formatShare(tokenAccuracy),
			formatShare(all[count - 1]?.mass ?? 0),
		]),
	);
	return (
		`${policy}, ${precision}: a code ${formatCount(gap)} tokens back\n\n${table}\n` +
		`Within one answer of all: ${heads.length === 1 ? "1 head" : `${heads.length} heads, the best first`}:\n${heads.join(",")}\n`
	);
}
