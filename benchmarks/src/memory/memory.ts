/**
 * What remembering costs a step. One stream is read until its archive holds so many tokens, which other sessions then
 * begin with: one for each number of tokens that go on with one choice of blocks. They and a session with sinks and a
 * window alone decode in turn, and ratios are taken within a round.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
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
	/** Tokens for which one choice of blocks holds, for each of which a case is measured. */
	readonly every: readonly number[];
	/** The heads that remember; undefined for all. */
	readonly heads: readonly MemoryHeads[] | undefined;
	/** Folder for values of archives; undefined for memory. */
	readonly disk: string | undefined;
	readonly rounds: number;
	/** Tokens of a round. */
	readonly steps: number;
	readonly signal: AbortSignal;
}

export interface MemoryCase {
	readonly policy: string;
	readonly archived: number;
	readonly every: number;
	/** Of the archive, per token that it has room for, on disk too. */
	readonly bytesPerToken: number;
	/** Of these, on disk. */
	readonly diskBytesPerToken: number;
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
	const { threads, rounds, steps, archived, heads, disk, signal } = options;
	const machine = describeMachine();
	await using runtime = cpu({ threads, ...(disk !== undefined && { disk }) });
	await using model = await loadModel(options.model, { runtime, ...(heads && { memoryHeads: heads }) });
	const ids = model.tokenizer.encode(longText().slice(0, 8 * (Math.max(...archived) + BEYOND)));
	const cases: MemoryCase[] = [];
	for (const tokens of archived) {
		if (signal.aborted) break;
		cases.push(...(await measure(model, ids, tokens, options)));
	}
	clearProgress();
	const { precision, memoryHeads, layers, kvHeads } = model.info;
	const remembering = memoryHeads.reduce((sum, part) => sum + part.heads.length, 0);
	return { machine, precision, threads, rounds, steps, heads: [remembering, layers * kvHeads], cases };
}

/** One for each of `every`; none when it was interrupted before the first round ended. */
async function measure(
	model: Model,
	ids: readonly number[],
	archived: number,
	{ every, rounds, steps, signal }: MemoryOptions,
): Promise<MemoryCase[]> {
	const remember = (capacity: number, every = 1): Policy => [
		sink(4),
		memory({ capacity, ...RECALLED, every }),
		rolling(WINDOW),
	];
	const report = (what: string): void =>
		showProgress(`${archived.toLocaleString("en")} tokens archived: ${what}`);
	const folder = mkdtempSync(join(tmpdir(), "tok-bench-"));
	const file = join(folder, "archive.tokmem");
	const sessions: Session[] = [];
	try {
		const reading = await readInto(file, model, ids.slice(0, archived + BEYOND), {
			policy: remember(archived),
			signal,
			report,
		});
		const recent = ids.slice(archived, archived + BEYOND);
		for (const policy of [[sink(4), rolling(WINDOW)], ...every.map((n) => remember(archived, n))]) {
			const session =
				sessions.length === 0
					? model.createSession({ policy })
					: await model.createSessionWithArchive(file, { policy, signal });
			sessions.push(session);
			await session.append(recent, { signal });
		}
		const times = sessions.map((): number[] => []);
		for (let round = -1; round < rounds && !signal.aborted; round++) {
			report(`round ${Math.max(0, round) + 1} of ${rounds}`);
			for (const [i, session] of sessions.entries()) {
				const time = await perToken(session, steps);
				// The first is to warm up.
				if (round >= 0) times[i]?.push(time);
			}
		}
		const [without = [], ...remembering] = times;
		if (without.length === 0) return [];
		const bytes = model.cacheBytes(remember(2 * archived)) - model.cacheBytes(remember(archived));
		return every.map((n, i) => {
			const own = remembering[i] as number[];
			return {
				policy: formatPolicy(remember(archived, n)),
				archived,
				every: n,
				bytesPerToken: bytes / archived,
				diskBytesPerToken: (sessions[i + 1]?.stats.diskBytes ?? 0) / archived,
				reading,
				without: spread(without),
				remembering: spread(own),
				ratio: spread(own.map((time, round) => time / (without[round] as number))),
			};
		});
	} catch (error) {
		if (signal.aborted) return [];
		throw error;
	} finally {
		for (const session of sessions) session.dispose();
		rmSync(folder, { recursive: true });
	}
}

/** Tokens a second. */
async function readInto(
	file: string,
	model: Model,
	tokens: readonly number[],
	{ policy, signal, report }: { policy: Policy; signal: AbortSignal; report: (what: string) => void },
): Promise<number> {
	using session = model.createSession({ policy });
	const begun = performance.now();
	await session.append(tokens, {
		signal,
		onProgress: (read, total) => report(`${Math.floor((100 * read) / total)} % read`),
	});
	const speed = (1000 * tokens.length) / (performance.now() - begun);
	await session.saveArchive(file, { signal });
	return speed;
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
	const rows = cases.map((each) => {
		const { archived, every, bytesPerToken, diskBytesPerToken, reading, without, remembering, ratio } = each;
		return [
			archived.toLocaleString("en"),
			every.toString(),
			(bytesPerToken / 1024).toFixed(1),
			(diskBytesPerToken / 1024).toFixed(1),
			reading.toFixed(0),
			range(without),
			range(remembering),
			range(ratio),
		];
	});
	const columns = [
		"archived tokens",
		"tokens a choice",
		"KiB a token",
		"on disk",
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
