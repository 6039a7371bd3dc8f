/** What visits come to: speeds at two places of a stream, how far it climbs between them, and how even steps are. */
import { median, quantile, type Spread, spread } from "../../src/support/statistics.ts";
import type { SideName } from "./sides.ts";
import type { Visit } from "./visit.ts";

/** Of one visit. */
export interface VisitSummary {
	/** Seconds to the first token. */
	readonly start: number;
	/** Tokens a second of the last reading. */
	readonly read: number;
	/** Tokens a second about the 100th token written, and at the end. */
	readonly early: number;
	readonly late: number;
	/** Milliseconds of a step at the end over those about the 100th. */
	readonly climb: number;
	/** Milliseconds of a step once the window is full. */
	readonly p50: number;
	readonly p99: number;
	readonly unevenness: number;
	/** Megabytes; NaN where they cannot be known. */
	readonly resident: number;
	readonly peak: number;
}

export interface SideSummary {
	readonly side: SideName;
	readonly description: string;
	readonly rounds: number;
	readonly figures: Readonly<Record<keyof VisitSummary, Spread>>;
	/** The first side's speed over this one's, round by round. */
	readonly ratio: Readonly<Record<"early" | "late" | "read", Spread>>;
}

/** Steps on either side of a place that its speed is the median of. */
const AROUND = 25;
const EARLY = 100;
/** Tokens written until tok's window is full, after the shortest prompt. */
const FILLED = 256;

/** @param read Tokens of a long prompt. */
export function summariseVisit({ start, reads, times, memory }: Visit, read: number): VisitSummary {
	const early = times.slice(Math.max(0, EARLY - AROUND), EARLY + AROUND);
	const late = times.slice(-2 * AROUND);
	const steady = times.length > 2 * FILLED ? times.slice(FILLED) : late;
	const begin = median(early.length > 0 ? early : late);
	const end = median(late);
	const p50 = quantile(steady, 0.5);
	const p99 = quantile(steady, 0.99);
	return {
		start: start / 1000,
		read: (read / (reads.at(-1) as number)) * 1000,
		early: 1000 / begin,
		late: 1000 / end,
		climb: end / begin,
		p50,
		p99,
		unevenness: p99 / p50,
		resident: (memory?.resident ?? Number.NaN) / 1e6,
		peak: (memory?.peak ?? Number.NaN) / 1e6,
	};
}

/** @param rounds Each with one visit of every side, in any order. The side that is compared with is the first one named. */
export function summarise(
	rounds: readonly (readonly Visit[])[],
	names: readonly SideName[],
	read: number,
): SideSummary[] {
	const visits = (side: SideName): Visit[] =>
		rounds.flatMap((round) => round.find((each) => each.side === side) ?? []);
	const [first] = names;
	const base = first === undefined ? [] : visits(first).map((each) => summariseVisit(each, read));
	return names.flatMap((side) => {
		const all = visits(side);
		const [any] = all;
		if (any === undefined) return [];
		const summaries = all.map((each) => summariseVisit(each, read));
		const spreadOf = (key: keyof VisitSummary): Spread => spread(summaries.map((each) => each[key]));
		const ratio = (key: keyof VisitSummary): Spread =>
			spread(summaries.map((each, round) => (base[round]?.[key] as number) / each[key]));
		const keys = Object.keys(summaries[0] as VisitSummary) as (keyof VisitSummary)[];
		return {
			side,
			description: any.description,
			rounds: all.length,
			figures: Object.fromEntries(keys.map((key) => [key, spreadOf(key)])) as SideSummary["figures"],
			ratio: { early: ratio("early"), late: ratio("late"), read: ratio("read") },
		};
	});
}
