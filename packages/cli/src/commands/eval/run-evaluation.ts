/** What the evaluations have in common on the command line: a model, a progress line, and an end by Ctrl-C. */
import type { EvaluationProgress, RunOptions } from "@tok/eval";
import type { Policy } from "@tok/kv-cache";
import type { Model } from "@tok/lm";
import type { Context } from "../../command.ts";
import { isAbort } from "../../errors.ts";
import { write, writeJson } from "../../io.ts";
import { defined, type RunSettings } from "../../shared-flags.ts";
import { formatCount, formatDuration } from "../../terminal/format.ts";
import { ProgressLine } from "../../terminal/progress-line.ts";
import { prepare, withModel } from "../../with-model.ts";

export interface Evaluation<Results> {
	readonly policies: readonly Policy[];
	run(model: Model, options: RunOptions<Results>): Promise<Results>;
	/** What is done, for people: "5 of 16 samples"; undefined when there is nothing to show yet. */
	describe(results: Results): string | undefined;
}

export interface Outcome<Results> {
	readonly results: Results;
	/** False after Ctrl-C: the results are of what was done by then. */
	readonly complete: boolean;
	readonly about: {
		readonly model: string;
		readonly precision: string;
	};
}

/**
 * Loads the model and runs the evaluation. After Ctrl-C it reports what was done by then, in the same form, and says so
 * on standard error; with nothing to report it only says so.
 */
export async function runEvaluation<Results>(
	context: Context,
	settings: RunSettings,
	{ policies, run, describe }: Evaluation<Results>,
	report: (outcome: Outcome<Results>) => Promise<void>,
): Promise<void> {
	const { io } = context;
	let latest: Results | undefined;
	await withModel(context, settings, async (model) => {
		for (const policy of policies) await prepare(context, model, policy);
		const about = { model: model.info.name, precision: model.info.precision };
		const line = new ProgressLine(io.stderr, io.env);
		const start = performance.now();
		try {
			const results = await run(model, {
				signal: io.signal,
				onProgress(progress) {
					latest = progress.results;
					line.message(describeProgress(progress, describe(latest), performance.now() - start));
				},
				...defined({ positions: settings.positions, chunk: settings.chunk }),
			}).finally(() => line.clear());
			await report({ results, complete: true, about });
		} catch (error) {
			if (!isAbort(error, io.signal)) throw error;
			const done = latest === undefined ? undefined : describe(latest);
			await write(io.stderr, `Stopped: ${done === undefined ? "nothing was finished" : `${done} done`}.\n`);
			if (latest === undefined || done === undefined) throw error;
			await report({ results: latest, complete: false, about });
		}
	});
}

/** One JSON object or a text, and only then the chart: what cannot be drawn is known all the same. */
export async function writeReport(
	{ flags, io }: Context,
	json: object,
	text: string,
	drawChart: () => Promise<void>,
): Promise<void> {
	if (flags.has("json")) await writeJson(io.stdout, json);
	else await write(io.stdout, text);
	await drawChart();
}

function describeProgress(
	{ tokens, totalTokens }: EvaluationProgress<unknown>,
	done: string | undefined,
	milliseconds: number,
): string {
	const left = tokens === 0 ? undefined : (milliseconds * (totalTokens - tokens)) / tokens;
	return [
		`${formatCount(tokens)} of ${formatCount(totalTokens)} tokens`,
		...(done === undefined ? [] : [done]),
		// The first seconds say little about the rest.
		...(left === undefined || milliseconds < 2000 ? [] : [`about ${formatDuration(left)} left`]),
	].join(" · ");
}
