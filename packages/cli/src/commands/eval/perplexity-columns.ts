/** Perplexities of policies in columns, and the differences from the first one. */
import type { Interval, PerplexityResult } from "@tok/eval";
import { formatNamedColumns } from "../../terminal/format.ts";

export function formatComparison(results: readonly PerplexityResult[]): string {
	const rows = results.map(({ policy, perplexity, interval, difference }) => [
		policy,
		perplexity.toFixed(2),
		formatInterval(interval, (value) => value.toFixed(2)),
		...(difference === null
			? []
			: [signed(difference.nll), formatInterval(difference.interval, (value) => signed(value))]),
	]);
	const head = ["policy", "perplexity", "95 % interval"];
	if (results.length === 1) return formatNamedColumns(head, rows);
	return formatNamedColumns([...head, "nats more", "95 % interval"], rows);
}

function formatInterval(interval: Interval | null, format: (value: number) => string): string {
	return interval === null ? "one block only" : `${format(interval.low)} to ${format(interval.high)}`;
}

function signed(value: number): string {
	const text = Math.abs(value).toFixed(4);
	return Number(text) === 0 ? text : `${value < 0 ? "−" : "+"}${text}`;
}
