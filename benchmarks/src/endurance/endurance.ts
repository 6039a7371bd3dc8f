/**
 * Whether a token costs the same after a long time. One session generates (temperature 1, so that it does not loop).
 * At an early point it is forked; at the end, blocks of steps of the long stream and of the fork alternate, so that
 * what else the machine does falls on both, and their medians are compared. The plain medians as the stream passes
 * the two points, and the memory at two points, are reported beside it.
 */
import { formatPolicy, type Policy } from "@tok/kv-cache";
import { loadModel, type Session } from "@tok/lm";
import { cpu } from "@tok/runtime-cpu";
import { currentLoad, describeMachine, formatMachine, type Machine } from "../support/machine.ts";
import { clearProgress, note, showProgress } from "../support/progress.ts";
import { median } from "../support/statistics.ts";
import { formatTable } from "../support/table.ts";

export interface EnduranceOptions {
	readonly model: string;
	readonly threads: number;
	readonly policy: Policy;
	/** Tokens to generate. */
	readonly tokens: number;
	/** Tokens that are timed at each point. */
	readonly steps: number;
	readonly signal: AbortSignal;
}

/** At a point of the stream. */
export interface Point {
	readonly tokens: number;
	readonly value: number;
}

export interface EnduranceReport {
	readonly machine: Machine;
	readonly policy: string;
	readonly threads: number;
	readonly wanted: number;
	/** Tokens that were generated: fewer than wanted when it was interrupted. */
	readonly tokens: number;
	readonly steps: number;
	readonly seconds: number;
	/** Median ms per token of the steps before each point, as the stream passed it. */
	readonly passing: { readonly early: Point; readonly late: Point } | undefined;
	/** Median ms per token of the early fork and of the long stream, alternating at the end. */
	readonly alternating: { readonly early: Point; readonly late: Point } | undefined;
	/** Resident bytes: the median over the steps before each point. */
	readonly resident: { readonly early: Point; readonly late: Point } | undefined;
	/** One sample every so often along the stream: resident bytes, ms per token, load. */
	readonly samples: readonly { tokens: number; resident: number; milliseconds: number; load: number }[];
}

const BLOCK = 25;
const SAMPLE = 500;
const NOTE = 10_000;
const RESIDENT_POINT = 10_000;
const TIME_POINT = 2_000;
const SEED = 1;

export async function measureEndurance(options: EnduranceOptions): Promise<EnduranceReport> {
	const { tokens, steps, threads, policy, signal } = options;
	const machine = describeMachine();
	const earlyTime = Math.min(TIME_POINT, Math.floor(tokens / 4));
	const earlyResident = Math.min(RESIDENT_POINT, Math.floor(tokens / 2));
	await using runtime = cpu({ threads });
	await using model = await loadModel(options.model, { runtime });
	await model.prepare(policy);
	using session = model.createSession({ policy });
	const times = new Float32Array(tokens);
	const resident = new Float64Array(tokens);
	const samples: EnduranceReport["samples"][number][] = [];
	const begun = performance.now();
	let done = 0;

	const advance = async (target: number): Promise<void> => {
		for await (const milliseconds of timedSteps(session, target - done, signal)) {
			times[done] = milliseconds;
			resident[done] = process.memoryUsage.rss();
			done++;
			if (done % SAMPLE > 0) continue;
			const recent = median([...times.subarray(done - SAMPLE, done)]);
			samples.push({
				tokens: done,
				resident: resident[done - 1] as number,
				milliseconds: recent,
				load: currentLoad(),
			});
			const line = `${done.toLocaleString("en")} of ${tokens.toLocaleString("en")} tokens, ${recent.toFixed(2)} ms each, ${((resident[done - 1] as number) / 1e6).toFixed(1)} MB`;
			if (done % NOTE === 0) note(line);
			else showProgress(line);
		}
	};
	const before = (values: Float32Array | Float64Array, point: number): Point => ({
		tokens: point,
		value: median([...values.subarray(Math.max(0, point - steps), point)]),
	});

	await advance(earlyTime);
	using fork = session.fork();
	await advance(tokens);
	const complete = done === tokens;
	const report = {
		machine,
		policy: formatPolicy(policy),
		threads,
		wanted: tokens,
		tokens: done,
		steps,
		seconds: (performance.now() - begun) / 1000,
		passing: complete ? { early: before(times, earlyTime), late: before(times, done) } : undefined,
		resident: complete ? { early: before(resident, earlyResident), late: before(resident, done) } : undefined,
		samples,
	};
	const alternating = complete ? await alternate(fork, session, options, earlyTime) : undefined;
	clearProgress();
	return { ...report, alternating };
}

async function alternate(
	fork: Session,
	session: Session,
	{ steps, tokens, signal }: EnduranceOptions,
	earlyTime: number,
): Promise<EnduranceReport["alternating"]> {
	const early: number[] = [];
	const late: number[] = [];
	while (late.length < steps && !signal.aborted) {
		showProgress(`alternating: ${late.length} of ${steps} steps`);
		for await (const milliseconds of timedSteps(fork, BLOCK, signal)) early.push(milliseconds);
		for await (const milliseconds of timedSteps(session, BLOCK, signal)) late.push(milliseconds);
	}
	if (late.length === 0) return undefined;
	return {
		early: { tokens: earlyTime, value: median(early) },
		late: { tokens, value: median(late) },
	};
}

/** Generates `count` tokens and yields how long each took, in milliseconds. */
async function* timedSteps(session: Session, count: number, signal: AbortSignal): AsyncGenerator<number> {
	let begun = performance.now();
	const sampling = { temperature: 1, topP: 1, seed: SEED + session.stats.length };
	for await (const _ of session.generate({ ...sampling, ignoreEndOfText: true, maxTokens: count, signal })) {
		const now = performance.now();
		yield now - begun;
		begun = performance.now();
	}
}

export function formatEndurance(report: EnduranceReport): string {
	const { machine, policy, threads, tokens, wanted, steps, seconds, samples } = report;
	const loads = samples.map(({ load }) => load);
	const head = [
		formatMachine(machine),
		`Load ${machine.load.toFixed(1)} before${loads.length > 0 ? `, ${Math.min(...loads).toFixed(1)}–${Math.max(...loads).toFixed(1)} during (this run's own included)` : ""}.`,
		`${policy}, ${threads} threads, ${tokens.toLocaleString("en")} tokens generated in ${seconds.toFixed(0)} s; medians over ${steps} steps.`,
	];
	const { passing, alternating, resident } = report;
	if (passing === undefined || resident === undefined)
		return [...head, `Interrupted: ${wanted.toLocaleString("en")} tokens were wanted.`].join("\n");
	const row = (name: string, { early, late }: { early: Point; late: Point }, scale: number): string[] => [
		name,
		`${(early.value / scale).toFixed(2)} at ${early.tokens.toLocaleString("en")}`,
		`${(late.value / scale).toFixed(2)} at ${late.tokens.toLocaleString("en")}`,
		(late.value / early.value).toFixed(3),
	];
	const rows = [
		...(alternating === undefined ? [] : [row("ms per token, alternating at the end", alternating, 1)]),
		row("ms per token, when it was passed", passing, 1),
		row("resident memory (MB)", resident, 1e6),
	];
	return [...head, "", formatTable(["", "early", "late", "late ÷ early"], rows)].join("\n");
}
