/** Numbers for people. */
import type { SessionStats, SpeculationCounts } from "@tok/lm";

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

/** What a session's cache takes: "cache 205 MiB (103 MiB on disk)". */
export function formatCache({ bytes, diskBytes }: Pick<SessionStats, "bytes" | "diskBytes">): string {
	return `cache ${formatBytes(bytes)}${diskBytes > 0 ? ` (${formatBytes(diskBytes)} on disk)` : ""}`;
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

/** A duration to two figures or so: "8 s", "4 min", "2.5 h". */
export function formatDuration(milliseconds: number): string {
	const seconds = milliseconds / 1000;
	if (seconds < 90) return `${Math.ceil(seconds)} s`;
	return seconds < 5400 ? `${Math.ceil(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}

/** A share in whole per cent: "94 %". */
export function formatShare(share: number): string {
	return `${Math.round(100 * share)} %`;
}

/** Columns under their heads, numbers to the right. */
export function formatColumns(head: readonly string[], rows: readonly (readonly string[])[]): string {
	const widths = widthsOf([head, ...rows]);
	return [head, ...rows].map((cells) => `${joinCells(cells, widths)}\n`).join("");
}

/** The same with names in front, to the left. One that would make its line too long has a line of its own. */
export function formatNamedColumns(
	head: readonly string[],
	rows: readonly (readonly string[])[],
	width = 80,
): string {
	const all = [head, ...rows];
	const widths = widthsOf(all.map(([, ...cells]) => cells));
	const others = widths.reduce((sum, column) => sum + column + gap.length, 0);
	const most = Math.max(
		...all.map(([name = ""]) => name.length).filter((length) => length + others <= width),
		(head[0] ?? "").length,
	);
	return all
		.map(([name = "", ...cells]) => {
			const row = `${gap}${joinCells(cells, widths)}\n`;
			return name.length > most ? `${name}\n${" ".repeat(most)}${row}` : name.padEnd(most) + row;
		})
		.join("");
}

const gap = "  ";

function widthsOf(rows: readonly (readonly string[])[]): number[] {
	const [head = []] = rows;
	return head.map((_, column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
}

function joinCells(cells: readonly string[], widths: readonly number[]): string {
	return cells.map((cell, column) => cell.padStart(widths[column] ?? 0)).join(gap);
}
