/** The endurance report as text. */
import { formatMachine } from "../support/machine.ts";
import { formatTable } from "../support/table.ts";
import type { Sample, Sitting } from "./checkpoint.ts";
import { type EnduranceReport, type Pair, TIME_POINT } from "./endurance.ts";

/** Tokens of a sitting after which its memory counts as settled. */
const SETTLED = 10_000;

export function formatEndurance(report: EnduranceReport): string {
	const { policy, threads, tokens, wanted, steps, kept, sittings, alternating } = report;
	const samples = sittings.flatMap((sitting) => sitting.samples);
	const loads = samples.map(({ load }) => load);
	const seconds = sittings.reduce((sum, sitting) => sum + sitting.seconds, 0);
	const head = [
		...sittings.map(({ machine, from }) => `from ${count(from)}: ${formatMachine(machine)}`),
		...(loads.length === 0
			? []
			: [
					`Load ${Math.min(...loads).toFixed(1)}–${Math.max(...loads).toFixed(1)} during (this run's own included).`,
				]),
		`${policy}, ${threads} threads, ${count(tokens)} tokens generated in ${seconds.toFixed(0)} s and ${sittings.length} ${sittings.length === 1 ? "sitting" : "sittings"}; alternating medians over ${steps} steps.`,
	];
	if (tokens < wanted)
		head.push(
			`Interrupted: ${count(wanted)} tokens were wanted. ${kept ? "The same command goes on." : "Nothing is kept of so few."}`,
		);
	const rows = [
		...(alternating === undefined ? [] : [row("ms per token, alternating at the end", alternating, 1)]),
		...passing(samples),
		...sittings.flatMap((sitting, i) => resident(sitting, sittings.length === 1 ? "" : `, sitting ${i + 1}`)),
	];
	if (rows.length === 0) return head.join("\n");
	return [...head, "", formatTable(["", "early", "late", "late ÷ early"], rows)].join("\n");
}

function passing(samples: readonly Sample[]): string[][] {
	const late = samples.at(-1);
	const early = samples.find(({ tokens }) => tokens >= TIME_POINT) ?? samples[0];
	if (early === undefined || late === undefined || early === late) return [];
	return [row("ms per token, when it was passed", pair(early, late, "milliseconds"), 1)];
}

/** A short sitting is compared from its middle. */
function resident({ from, samples }: Sitting, which: string): string[][] {
	const late = samples.at(-1);
	if (late === undefined) return [];
	const settled = from + Math.min(SETTLED, (late.tokens - from) / 2);
	const early = samples.find(({ tokens }) => tokens >= settled) as Sample;
	return early === late ? [] : [row(`resident memory${which} (MB)`, pair(early, late, "resident"), 1e6)];
}

function pair(early: Sample, late: Sample, value: "milliseconds" | "resident"): Pair {
	return {
		early: { tokens: early.tokens, value: early[value] },
		late: { tokens: late.tokens, value: late[value] },
	};
}

function row(name: string, { early, late }: Pair, scale: number): string[] {
	return [
		name,
		`${(early.value / scale).toFixed(2)} at ${count(early.tokens)}`,
		`${(late.value / scale).toFixed(2)} at ${count(late.tokens)}`,
		(late.value / early.value).toFixed(3),
	];
}

function count(tokens: number): string {
	return tokens.toLocaleString("en");
}
