/** What recall evaluations show: a row for each gap or distance, and a chart. Those without an answer are left out. */
import type { Recall } from "@tok/eval";
import type { RecallChart } from "../../charts/charts.ts";
import { formatColumns, formatCount, formatShare } from "../../terminal/format.ts";

/**
 * How many answers are exact, where the true share lies, and what part of their tokens is right.
 *
 * @param name Head of the first column.
 * @param value What stands there.
 */
export function formatRecall<Result extends Recall>(
	results: readonly Result[],
	name: string,
	value: (result: Result) => number,
): string {
	return formatColumns(
		[name, "tokens back", "exact", "share", "95 % interval", "tokens right"],
		answered(results).map((result) => [
			formatCount(value(result)),
			formatCount(result.distance),
			`${result.exact} of ${result.samples}`,
			formatShare(result.exact / result.samples),
			`${Math.round(100 * result.interval.low)} to ${formatShare(result.interval.high)}`,
			formatShare(result.tokenAccuracy),
		]),
	);
}

/** @param setting What was measured on: policy, model, precision. */
export function recallChart(results: readonly Recall[], title: string, setting: string): RecallChart {
	const samples = Math.max(0, ...results.map((result) => result.samples));
	return {
		title,
		subtitle: `${setting}. ${formatCount(samples)} answers at each distance, with 95 % intervals.`,
		distance: "tokens back (log scale)",
		points: answered(results),
	};
}

/** "5 of 16 samples"; undefined before the first answer. A round is done when its last result has an answer. */
export function describeRounds(results: readonly Recall[], rounds: number, name: string): string | undefined {
	if (answered(results).length === 0) return undefined;
	return `${formatCount(results.at(-1)?.samples ?? 0)} of ${formatCount(rounds)} ${name}`;
}

function answered<Result extends Recall>(
	results: readonly Result[],
): (Result & { readonly distance: number })[] {
	return results.filter(
		(result): result is Result & { readonly distance: number } => result.distance !== null,
	);
}
