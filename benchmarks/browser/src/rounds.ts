/** Finished rounds of a measurement, kept so that one that was stopped goes on where it stood. */
import { readFileSync } from "node:fs";
import { writeJson } from "../../src/support/write-aside.ts";
import type { Visit } from "./visit.ts";

interface Kept {
	/** Everything that rounds of one measurement have in common. */
	readonly key: string;
	readonly rounds: readonly (readonly Visit[])[];
}

export function keptRounds(path: string, key: string): Visit[][] {
	try {
		const kept: Kept = JSON.parse(readFileSync(path, "utf8"));
		return kept.key === key ? kept.rounds.map((round) => [...round]) : [];
	} catch {
		return [];
	}
}

export function keepRounds(path: string, key: string, rounds: readonly (readonly Visit[])[]): void {
	writeJson(path, { key, rounds } satisfies Kept);
}
