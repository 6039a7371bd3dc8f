/** The study's figures as Markdown. */
import type { Interval } from "../support/statistics.ts";
import { formatTable } from "../support/table.ts";
import {
	type Comparison,
	type LongSummary,
	type StretchSummary,
	settledFrom,
	type WindowSummary,
} from "./summary.ts";

export function formatWindows(summaries: readonly WindowSummary[], tokens: number): string {
	const settled = settledFrom(tokens).toLocaleString("en");
	const rows = summaries.map(({ label, perplexity, settled, toDense, difference }) => [
		label,
		perplexity.toFixed(2),
		settled.toFixed(2),
		label === "dense" ? "1" : withInterval(toDense.ratio, toDense.interval),
		difference.max.toExponential(1),
		difference.mean.toExponential(1),
	]);
	return formatTable(
		[
			"sinks + rolling",
			`perplexity, ${tokens.toLocaleString("en")} tokens`,
			`from ${settled} on`,
			"÷ dense (95 %)",
			"max difference from the golden (nats)",
			"mean",
		],
		rows,
	);
}

export function formatOneSink({ ratio, interval, positions }: Comparison): string {
	return `1+255 ÷ 4+252: ${withInterval(ratio, interval)}, ${positions.toLocaleString("en")} positions`;
}

export function formatStretches(name: string, summary: StretchSummary): string {
	const { positions, blocks, ratio, interval, stream, yardstick, drift, driftInterval } = summary;
	return [
		`stream ÷ ${name}: ${withInterval(ratio, interval, 4)}, 95 % interval, paired bootstrap over ${blocks} stretches, ${positions.toLocaleString("en")} positions`,
		`  perplexity there: stream ${stream.toFixed(2)}, ${name} ${yardstick.toFixed(2)}`,
		`  drift of ln ratio per 100,000 tokens: ${withInterval(drift, driftInterval, 4)}`,
	].join("\n");
}

/** @param restarted One stretch in each bin. */
export function formatLongStream(
	{ tokens, bin, perplexity, bins }: LongSummary,
	restarted: StretchSummary,
): string {
	const rows = bins.map((value, i) => [
		`${(i * bin).toLocaleString("en")}–${Math.min((i + 1) * bin, tokens).toLocaleString("en")}`,
		value.toFixed(2),
		restarted.stretches[i]?.ratio.toFixed(4) ?? "",
	]);
	const all = ["all", perplexity.toFixed(2), restarted.ratio.toFixed(4)];
	return formatTable(["tokens", "perplexity", "÷ restarted"], [...rows, all]);
}

function withInterval(value: number, { low, high }: Interval, digits = 3): string {
	return `${value.toFixed(digits)} (${low.toFixed(digits)} to ${high.toFixed(digits)})`;
}
