/**
 * What remembering costs a step. One stream is read until its archive holds so many tokens, another with sinks and a
 * window alone; then both decode in turn, and ratios are taken within a round. The heads that remember are loaded one
 * choice after the other, as a graph belongs to each.
 */
import { formatPolicy, memory, type Policy, rolling, sink } from "@tok/kv-cache";
import { loadModel, type MemoryHeads, type Model, type Session } from "@tok/lm";
import { cpu } from "@tok/runtime-cpu";
import { longText } from "../support/inputs.ts";
import { describeMachine, formatMachine, type Machine } from "../support/machine.ts";
import { clearProgress, showProgress } from "../support/progress.ts";
import { type Spread, spread } from "../support/statistics.ts";
import { formatTable } from "../support/table.ts";

export interface MemoryOptions {
	readonly model: string;
	readonly threads: number;
	/** Tokens in the archive, for each of which a case is measured. */
	readonly archived: readonly number[];
	/** The heads that remember; undefined for all. */
	readonly heads: readonly MemoryHeads[] | undefined;
	readonly rounds: number;
	/** Tokens of a round. */
	readonly steps: number;
	readonly signal: AbortSignal;
}

export interface MemoryCase {
	readonly policy: string;
	readonly archived: number;
	/** Of the archive, per token that it has room for. */
	readonly bytesPerToken: number;
	/** Reading with recall, tokens a second, over the whole stream. */
	readonly reading: number;
	/** Milliseconds per token. */
	readonly without: Spread;
	readonly remembering: Spread;
	/** By round. */
	readonly ratio: Spread;
}

export interface MemoryReport {
	readonly machine: Machine;
	readonly precision: string;
	readonly threads: number;
	readonly rounds: number;
	readonly steps: number;
	/** Key/value heads that remember, of how many. */
	readonly heads: readonly [number, number];
	readonly cases: readonly MemoryCase[];
}

const WINDOW = 252;
const RECALLED = { recall: 8, blockSize: 16 };
/** Tokens more than an archive's, so that it is full. */
const BEYOND = WINDOW + 128;

export async function measureMemory(options: MemoryOptions): Promise<MemoryReport> {
	const { threads, rounds, steps, archived, heads, signal } = options;
	const machine = describeMachine();
	await using runtime = cpu({ threads });
	await using model = await loadModel(options.model, { runtime, ...(heads && { memoryHeads: heads }) });
	const ids = model.tokenizer.encode(longText().slice(0, 8 * (Math.max(...archived) + BEYOND)));
	const cases: MemoryCase[] = [];
	for (const tokens of archived) {
		if (signal.aborted) break;
		const measured = await measure(model, ids, tokens, options);
		if (measured !== undefined) cases.push(measured);
	}
	clearProgress();
	const { precision, memoryHeads, layers, kvHeads } = model.info;
	const remembering = memoryHeads.reduce((sum, part) => sum + part.heads.length, 0);
	return { machine, precision, threads, rounds, steps, heads: [remembering, layers * kvHeads], cases };
}

/** Undefined when it was interrupted before the first round ended. */
async function measure(
	model: Model,
	ids: readonly number[],
	archived: number,
	{ rounds, steps, signal }: MemoryOptions,
): Promise<MemoryCase | undefined> {
	const plain: Policy = [sink(4), rolling(WINDOW)];
	const policy: Policy = [sink(4), memory({ capacity: archived, ...RECALLED }), rolling(WINDOW)];
	const twice: Policy = [sink(4), memory({ capacity: 2 * archived, ...RECALLED }), rolling(WINDOW)];
	using without = model.createSession({ policy: plain });
	using remembering = model.createSession({ policy });
	const report = (what: string): void =>
		showProgress(`${archived.toLocaleString("en")} tokens archived: ${what}`);
	try {
		await without.append(ids.slice(0, BEYOND), { signal });
		const begun = performance.now();
		const tokens = ids.slice(0, archived + BEYOND);
		await remembering.append(tokens, {
			signal,
			onProgress: (read, total) => report(`${Math.floor((100 * read) / total)} % read`),
		});
		const reading = (1000 * tokens.length) / (performance.now() - begun);
		const times = { without: [] as number[], remembering: [] as number[] };
		for (let round = -1; round < rounds && !signal.aborted; round++) {
			report(`round ${Math.max(0, round) + 1} of ${rounds}`);
			const pair = [await perToken(without, steps), await perToken(remembering, steps)] as const;
			// The first is to warm up.
			if (round < 0) continue;
			times.without.push(pair[0]);
			times.remembering.push(pair[1]);
		}
		if (times.without.length === 0) return undefined;
		return {
			policy: formatPolicy(policy),
			archived,
			bytesPerToken: (model.cacheBytes(twice) - model.cacheBytes(policy)) / archived,
			reading,
			without: spread(times.without),
			remembering: spread(times.remembering),
			ratio: spread(times.remembering.map((time, round) => time / (times.without[round] as number))),
		};
	} catch (error) {
		if (signal.aborted) return undefined;
		throw error;
	}
}

async function perToken(session: Session, count: number): Promise<number> {
	const begun = performance.now();
	for await (const _ of session.generate({ temperature: 0, ignoreEndOfText: true, maxTokens: count }));
	return (performance.now() - begun) / count;
}

export function formatMemory({
	machine,
	precision,
	threads,
	rounds,
	steps,
	heads,
	cases,
}: MemoryReport): string {
	const range = ({ median, min, max }: Spread): string =>
		`${median.toFixed(2)} (${min.toFixed(2)}–${max.toFixed(2)})`;
	const rows = cases.map(({ archived, bytesPerToken, reading, without, remembering, ratio }) => [
		archived.toLocaleString("en"),
		(bytesPerToken / 1024).toFixed(1),
		reading.toFixed(0),
		range(without),
		range(remembering),
		range(ratio),
	]);
	const columns = [
		"archived tokens",
		"KiB a token",
		"reading (tokens/s)",
		"sinks (ms)",
		"memory (ms)",
		"ratio",
	];
	return [
		formatMachine(machine),
		`Load ${machine.load.toFixed(1)} before. ${threads} threads, ${precision}, ${heads[0]} of ${heads[1]} heads remember; ` +
			`${rounds} rounds of ${steps} tokens, medians (min–max), window ${WINDOW}, ${RECALLED.recall} blocks of ${RECALLED.blockSize}.`,
		"",
		formatTable(columns, rows),
	].join("\n");
}
