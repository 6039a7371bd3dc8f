/** Numbers for people. */
import type { SpeculationCounts } from "@tok/lm";

export function formatCount(value: number): string {
	return Math.round(value).toLocaleString("en-US");
}

/** Bytes in binary units: "22.5 MiB". */
export function formatBytes(bytes: number): string {
	if (bytes === Number.POSITIVE_INFINITY) return "no limit";
	const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
	let unit = 0;
	let value = bytes;
	while (value >= 1024 && unit < units.length - 1) {
		value /= 1024;
		unit++;
	}
	return unit === 0 ? `${formatCount(value)} bytes` : `${value.toFixed(value < 100 ? 1 : 0)} ${units[unit]}`;
}

export function formatRate(perSecond: number | null): string {
	return perSecond === null ? "–" : perSecond < 100 ? perSecond.toFixed(1) : formatCount(perSecond);
}

/** What became of guessed tokens. */
export function formatSpeculation({ guessed, accepted, runs }: SpeculationCounts): string {
	if (guessed === 0) return "no tokens guessed";
	const share = Math.round((100 * accepted) / guessed);
	const perRun = ((runs + accepted) / runs).toFixed(2);
	return `${formatCount(guessed)} tokens guessed, ${formatCount(accepted)} right (${share} %), ${perRun} tokens a run`;
}

/** Tokens per second; null when nothing was measured. JSON has no infinity. */
export function rate(tokens: number, milliseconds: number): number | null {
	return tokens > 0 && milliseconds > 0 ? (tokens * 1000) / milliseconds : null;
}
