/**
 * tok against node-llama-cpp on one model file, alternating: in every round each case runs on both sides, one right
 * after the other and in turn first, so that whatever else the machine does falls on both. Ratios are taken within a
 * round; medians over the rounds are reported with their range.
 */
import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { TokError } from "@tok/lm";
import { goldenTokens, type ModelFile, modelFile } from "../support/inputs.ts";
import { currentLoad, describeMachine, type Machine } from "../support/machine.ts";
import { clearProgress, showProgress } from "../support/progress.ts";
import { type Spread, spread } from "../support/statistics.ts";
import { type Case, runStarts, type SpeedCase, speedCases, startCases } from "./cases.ts";
import { type EngineName, type EngineOptions, engineNames } from "./engine.ts";
import { EngineProcess } from "./engine-process.ts";

export interface SpeedOptions {
	readonly model: string;
	readonly threads: number;
	/** Of node-llama-cpp, which may be the faster with fewer. Defaults to as many. */
	readonly peerThreads?: number | undefined;
	readonly rounds: number;
	/** Tokens generated in each decoding case. */
	readonly steps: number;
	/** Runs the cases whose names match. Defaults to all. */
	readonly only?: RegExp | undefined;
	readonly signal: AbortSignal;
}

export interface SpeedReport {
	readonly machine: Machine;
	readonly model: ModelFile;
	readonly threads: Record<EngineName, number>;
	/** Of each side. */
	readonly descriptions: readonly string[];
	/** Rounds that were finished. */
	readonly rounds: number;
	readonly steps: number;
	/** Load at the beginning of each round: this measurement's own included. */
	readonly loads: readonly number[];
	readonly cases: readonly (Case & {
		readonly values: Record<EngineName, readonly number[]>;
		readonly spread: Record<EngineName, Spread>;
		/** tok's value over node-llama-cpp's, round by round. */
		readonly ratio: Spread;
	})[];
}

type Values = Map<Case, Record<EngineName, number[]>>;

export async function measureSpeed(options: SpeedOptions): Promise<SpeedReport> {
	const { model: name, rounds, steps, only = /^/, signal } = options;
	const threads = { tok: options.threads, "node-llama-cpp": options.peerThreads ?? options.threads };
	const machine = describeMachine();
	const ids = [...goldenTokens()];
	const timed = speedCases(ids, steps).filter((each) => only.test(each.name));
	const starts = typedEntries(startCases).filter(([, each]) => only.test(each.name));
	if (timed.length + starts.length === 0)
		throw new TokError(
			"benchmarks",
			`only: expected a pattern that a case's name matches, got ${only}. Try "decode" or "start|memory".`,
		);
	const model = await modelFile(name);
	const values: Values = new Map();
	const loads: number[] = [];
	using folder = mkdtempDisposableSync(join(tmpdir(), "tok-bench-"));
	const optionsOf = (engine: EngineName): EngineOptions => ({
		model: name,
		path: model.path,
		threads: threads[engine],
		prepared: join(folder.path, "prepared"),
	});
	const engines = engineNames.map((engine) => new EngineProcess(engine, optionsOf(engine)));
	const descriptions: string[] = [];
	try {
		for (const engine of engines) descriptions.push(await engine.ask("description", null));
		for (let round = 0; round <= rounds && timed.length > 0 && !signal.aborted; round++) {
			if (round > 0) loads.push(currentLoad());
			// The first one warms up, and is not recorded.
			await runCases(timed, alternate(engines, round), round === 0 ? new Map() : values, {
				round,
				...options,
			});
		}
	} finally {
		for (const engine of engines) await engine.close();
	}
	for (let round = 1; round <= rounds && starts.length > 0 && !signal.aborted; round++) {
		loads.push(currentLoad());
		for (const engine of alternate(engineNames, round)) {
			if (signal.aborted) break;
			showProgress(`round ${round} of ${rounds}: start and memory, ${engine}`);
			const measured = await runStarts(engine, optionsOf(engine), ids, steps);
			for (const [kind, each] of starts) record(values, each, engine, measured[kind]);
		}
	}
	clearProgress();
	const cases = [...values].filter(isPaired).map(summarise);
	return {
		machine,
		model,
		threads,
		descriptions,
		rounds: Math.max(0, ...cases.map((each) => each.values.tok.length)),
		steps,
		loads,
		cases,
	};
}

async function runCases(
	cases: readonly SpeedCase[],
	engines: readonly EngineProcess[],
	values: Values,
	{ round, rounds, signal }: { round: number; rounds: number; signal: AbortSignal },
): Promise<void> {
	for (const each of cases)
		for (const engine of engines) {
			if (signal.aborted) return;
			const stage = round === 0 ? "warming up" : `round ${round} of ${rounds}`;
			showProgress(`${stage}: ${each.name}, ${engine.name}`);
			record(values, each, engine.name, await each.run(engine));
		}
}

function typedEntries<K extends string, V>(record: Record<K, V>): [K, V][] {
	return Object.entries(record) as [K, V][];
}

/** Who begins changes from round to round. */
function alternate<T>(both: readonly T[], round: number): readonly T[] {
	return round % 2 === 0 ? both : both.toReversed();
}

function record(values: Values, which: Case, name: EngineName, value: number): void {
	const sides = values.get(which) ?? { tok: [], "node-llama-cpp": [] };
	sides[name].push(value);
	values.set(which, sides);
}

/** Interrupted between the two sides, a case has no pair. */
function isPaired([, values]: [Case, Record<EngineName, number[]>]): boolean {
	return engineNames.every((name) => values[name].length > 0);
}

function summarise([which, values]: [Case, Record<EngineName, number[]>]): SpeedReport["cases"][number] {
	const theirs = values["node-llama-cpp"];
	// Interrupted, the last round may have no pair.
	const pairs = Math.min(values.tok.length, theirs.length);
	const ratios = values.tok.slice(0, pairs).map((value, round) => value / (theirs[round] as number));
	const { name, unit, better } = which;
	return {
		name,
		unit,
		better,
		values,
		spread: { tok: spread(values.tok), "node-llama-cpp": spread(theirs) },
		ratio: spread(ratios),
	};
}
