/** The comparison as Markdown. */
import { formatMachine } from "../../src/support/machine.ts";
import type { Spread } from "../../src/support/statistics.ts";
import { formatTable } from "../../src/support/table.ts";
import type { BrowserReport } from "./browser.ts";
import { LOOP } from "./sides.ts";

export function formatBrowser({
	machine,
	chromium,
	threads,
	steps,
	read,
	loads,
	sides,
}: BrowserReport): string {
	const [first] = sides;
	if (first === undefined) return "Interrupted before a round had ended.";
	const load = `${Math.min(...loads).toFixed(1)}–${Math.max(...loads).toFixed(1)}`;
	const engines = sides.filter(({ side }) => side !== LOOP);
	const speeds = engines.map(({ side, figures, ratio }) => [
		side,
		range(figures.start),
		range(figures.read),
		range(figures.early),
		range(figures.late),
		range(figures.climb),
		range(ratio.late),
		range(ratio.read),
	]);
	const steadiness = sides.map(({ side, figures }) => [
		side,
		range(figures.p50),
		range(figures.p99),
		range(figures.unevenness),
		side === LOOP ? "" : range(figures.resident),
		side === LOOP ? "" : range(figures.peak),
	]);
	const speedHead = [
		"median (min–max)",
		"start (s)",
		`reading ${read} (tokens/s)`,
		"writing, at token 100 (tokens/s)",
		`at ${steps.toLocaleString("en")}`,
		"climb",
		`${first.side} ÷ it, writing`,
		"reading",
	];
	return [
		`${formatMachine(machine)}, Chromium ${chromium}`,
		`Load ${load} when visits began (this run's own included). ${threads} thread${threads === 1 ? "" : "s"} a side, ${first.rounds} rounds, ${steps.toLocaleString("en")} tokens written.`,
		...sides.map(({ description }) => `- ${description}`),
		"",
		formatTable(speedHead, speeds),
		"",
		formatTable(["a step", "p50 (ms)", "p99", "p99 ÷ p50", "resident (MB)", "peak (MB)"], steadiness),
	].join("\n");
}

function range({ median, min, max }: Spread): string {
	if (!Number.isFinite(median)) return "unknown";
	return `${number(median)} (${number(min)}–${number(max)})`;
}

function number(value: number): string {
	return value.toLocaleString("en", { maximumSignificantDigits: value < 1000 ? 3 : 4 });
}
