/**
 * tok against node-llama-cpp on one model file, alternating: in every round each case runs on both sides, one right
 * after the other and in turn first, so that whatever else the machine does falls on both. Ratios are taken within a
 * round; medians over the rounds are reported with their range.
 */

import { goldenTokens, type ModelFile, modelFile } from "../support/inputs.ts";
import { currentLoad, describeMachine, type Machine } from "../support/machine.ts";
import { clearProgress, showProgress } from "../support/progress.ts";
import { type Spread, spread } from "../support/statistics.ts";
import { type Case, runStart, speedCases, startCases } from "./cases.ts";
import { type EngineName, type EngineOptions, engineNames } from "./engine.ts";
import { EngineProcess } from "./engine-process.ts";

export interface SpeedOptions {
	readonly model: string;
	readonly threads: number;
	readonly rounds: number;
	/** Tokens generated in each decoding case. */
	readonly steps: number;
	readonly signal: AbortSignal;
}

export interface SpeedReport {
	readonly machine: Machine;
	readonly model: ModelFile;
	readonly threads: number;
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

export async function measureSpeed(options: SpeedOptions): Promise<SpeedReport> {
	const { rounds, steps, threads, signal } = options;
	const machine = describeMachine();
	const model = await modelFile(options.model);
	const ids = [...goldenTokens()];
	const measured = new Map<Case, Record<EngineName, number[]>>();
	const record = (which: Case, name: EngineName, value: number): void => {
		const values = measured.get(which) ?? { tok: [], "node-llama-cpp": [] };
		values[name].push(value);
		measured.set(which, values);
	};
	const engineOptions: EngineOptions = { model: options.model, path: model.path, threads };
	const engines = engineNames.map((name) => new EngineProcess(name, engineOptions));
	const cases = speedCases(ids, steps);
	const loads: number[] = [];
	try {
		for (const each of cases)
			for (const engine of engines) {
				showProgress(`warming up: ${each.name}, ${engine.name}`);
				if (!signal.aborted) await each.run(engine);
			}
		for (let round = 0; round < rounds && !signal.aborted; round++) {
			loads.push(currentLoad());
			const inTurn = round % 2 === 0 ? engines : engines.toReversed();
			for (const each of cases)
				for (const engine of inTurn) {
					showProgress(`round ${round + 1} of ${rounds}: ${each.name}, ${engine.name}`);
					record(each, engine.name, await each.run(engine));
				}
		}
	} finally {
		for (const engine of engines) await engine.close();
	}
	for (let round = 0; round < rounds && !signal.aborted; round++) {
		for (const name of round % 2 === 0 ? engineNames : engineNames.toReversed()) {
			showProgress(`round ${round + 1} of ${rounds}: start and memory, ${name}`);
			const values = await runStart(name, engineOptions, ids, steps);
			for (const [key, which] of Object.entries(startCases))
				record(which, name, values[key as keyof typeof values]);
		}
	}
	clearProgress();
	return { machine, model, threads, rounds: loads.length, steps, loads, cases: [...measured].map(summarise) };
}

function summarise([which, values]: [Case, Record<EngineName, number[]>]): SpeedReport["cases"][number] {
	const theirs = values["node-llama-cpp"];
	// Interrupted between the two sides, the last round has no pair.
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
