/** The comparison as a Markdown table. */
import { formatMachine } from "../support/machine.ts";
import type { Spread } from "../support/statistics.ts";
import { formatTable } from "../support/table.ts";
import type { SpeedReport } from "./speed.ts";

export function formatSpeed({
	machine,
	model,
	threads,
	descriptions,
	rounds,
	steps,
	loads,
	cases,
}: SpeedReport): string {
	const overFile = (megabytes: number): string => ((megabytes * 1e6) / model.bytes).toFixed(2);
	const rows = cases.map(({ name, unit, better, spread, ratio }) => [
		`${name} (${unit})`,
		withRange(spread.tok),
		withRange(spread["node-llama-cpp"]),
		`${ratio.median.toFixed(2)} (${ratio.min.toFixed(2)}–${ratio.max.toFixed(2)})`,
		isBetter(ratio.median, better),
		unit === "MB" ? `${overFile(spread.tok.median)} / ${overFile(spread["node-llama-cpp"].median)}` : "",
	]);
	const load = `${Math.min(...loads).toFixed(1)}–${Math.max(...loads).toFixed(1)}`;
	return [
		formatMachine(machine),
		`Load ${machine.load.toFixed(1)} before, ${load} during the rounds (this run's own included).`,
		`Threads: tok ${threads.tok}, node-llama-cpp ${threads["node-llama-cpp"]}; ${rounds} rounds, ${steps} tokens a decoding case, model file ${(model.bytes / 1e6).toFixed(1)} MB.`,
		`${descriptions.join("; ")}.`,
		"",
		formatTable(
			["median (min–max)", "tok", "node-llama-cpp", "tok ÷ node-llama-cpp", "better", "÷ file size"],
			rows,
		),
	].join("\n");
}

function withRange({ median, min, max }: Spread): string {
	return `${number(median)} (${number(min)}–${number(max)})`;
}

function number(value: number): string {
	return value.toLocaleString("en", { maximumSignificantDigits: value < 1000 ? 3 : 4 });
}

function isBetter(ratio: number, better: "higher" | "lower"): string {
	if (Math.abs(ratio - 1) < 0.02) return "equal";
	return ratio > 1 === (better === "higher") ? "tok" : "node-llama-cpp";
}
