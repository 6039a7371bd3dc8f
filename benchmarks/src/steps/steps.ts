/**
 * One decoding step, looked at closely: how evenly steps take their time, what part of a step is the policy's (planning,
 * masks, writing fresh rows into slots), and how a step compares with reading the window again for every token, which
 * is what the paper's 22.2 times is measured against (StreamingLLM, arXiv 2309.17453 §4.5).
 */
import {
	createCache,
	formatPolicy,
	freshMask,
	type Policy,
	recompute,
	rolling,
	segmentMask,
	sink,
} from "@tok/kv-cache";
import { loadModel, type Model, type Session } from "@tok/lm";
import { cpu } from "@tok/runtime-cpu";
import { goldenTokens } from "../support/inputs.ts";
import { describeMachine, formatMachine, type Machine } from "../support/machine.ts";
import { clearProgress, showProgress } from "../support/progress.ts";
import { mean, quantile, type Spread, spread } from "../support/statistics.ts";
import { formatTable } from "../support/table.ts";

type Runtime = ReturnType<typeof cpu>;
type KvStore = ReturnType<Runtime["createKvStore"]>;

export interface StepsOptions {
	readonly model: string;
	readonly threads: number;
	/** Steps that are timed one by one, under each policy. */
	readonly steps: number;
	/** Alternating rounds against recomputation. */
	readonly rounds: number;
	readonly signal: AbortSignal;
}

/** Of one policy whose window is full, in milliseconds. */
export interface StepTimes {
	readonly policy: string;
	readonly p50: number;
	readonly p90: number;
	readonly p99: number;
	/** Means of a step's parts. */
	readonly whole: number;
	readonly planning: number;
	readonly writing: number;
}

export interface StepsReport {
	readonly machine: Machine;
	readonly threads: number;
	readonly steps: number;
	readonly times: readonly StepTimes[];
	/** ms per token; undefined when it was interrupted before the first round ended. */
	readonly recomputation:
		| { readonly window: number; readonly sinks: Spread; readonly recompute: Spread; readonly ratio: Spread }
		| undefined;
}

const WINDOWS = [256, 1024];
const SINKS = 4;
/** Steps before the clock starts. */
const WARM_UP = 16;
/** Tokens of a round: few on the side that reads a window for each. */
const ROUND = { sinks: 32, recompute: 3 };

export async function measureSteps(options: StepsOptions): Promise<StepsReport> {
	const { threads, steps, signal } = options;
	const machine = describeMachine();
	const clock = { writing: 0 };
	await using runtime = withTimedWrites(cpu({ threads }), clock);
	await using model = await loadModel(options.model, { runtime });
	const times: StepTimes[] = [];
	for (const window of WINDOWS) {
		if (signal.aborted) break;
		showProgress(`${steps.toLocaleString("en")} steps with a window of ${window}`);
		const policy = [sink(SINKS), rolling(window - SINKS)];
		const timed = await timeSteps(model, policy, window, options, clock);
		if (timed !== undefined) times.push(timed);
	}
	const recomputation = signal.aborted
		? undefined
		: await againstRecomputation(model, WINDOWS.at(-1) as number, options);
	clearProgress();
	return { machine, threads, steps, times, recomputation };
}

async function timeSteps(
	model: Model,
	policy: Policy,
	window: number,
	{ steps, signal }: StepsOptions,
	clock: { writing: number },
): Promise<StepTimes | undefined> {
	using session = await filled(model, policy, window);
	const planning = planner(policy, window + WARM_UP);
	const whole: number[] = [];
	const parts = { planning: 0, writing: 0 };
	for await (const _ of decode(session, WARM_UP));
	clock.writing = 0;
	let begun = performance.now();
	for await (const _ of decode(session, steps, signal)) {
		const ended = performance.now();
		whole.push(ended - begun);
		parts.writing += clock.writing;
		clock.writing = 0;
		parts.planning += planning();
		begun = performance.now();
	}
	if (whole.length === 0) return undefined;
	return {
		policy: formatPolicy(policy),
		p50: quantile(whole, 0.5),
		p90: quantile(whole, 0.9),
		p99: quantile(whole, 0.99),
		whole: mean(whole),
		planning: parts.planning / whole.length,
		writing: parts.writing / whole.length,
	};
}

/** Plays the policy's part of a step on a cache of its own, in the same state, and says how long it took. */
function planner(policy: Policy, length: number): () => number {
	const cache = createCache(policy);
	for (let left = length; left > 0; ) {
		const plan = cache.plan(left);
		cache.commit(plan);
		left -= plan.take;
	}
	const own = new Float32Array(1);
	return () => {
		const begun = performance.now();
		const plan = cache.plan(1);
		for (const view of plan.segments) segmentMask(view, new Float32Array(view.slots));
		freshMask(plan, own);
		cache.commit(plan);
		return performance.now() - begun;
	};
}

async function againstRecomputation(
	model: Model,
	window: number,
	{ rounds, signal }: StepsOptions,
): Promise<StepsReport["recomputation"]> {
	using kept = await filled(model, [sink(SINKS), rolling(window - SINKS)], window);
	using reread = await filled(model, [recompute(window)], window);
	for await (const _ of decode(kept, WARM_UP));
	for await (const _ of decode(reread, 1));
	const sinks: number[] = [];
	const recomputed: number[] = [];
	for (let round = 0; round < rounds && !signal.aborted; round++) {
		showProgress(`against recomputation: round ${round + 1} of ${rounds}`);
		sinks.push(await perToken(kept, ROUND.sinks));
		recomputed.push(await perToken(reread, ROUND.recompute));
	}
	if (sinks.length === 0) return undefined;
	const ratio = recomputed.map((time, round) => time / (sinks[round] as number));
	return { window, sinks: spread(sinks), recompute: spread(recomputed), ratio: spread(ratio) };
}

async function perToken(session: Session, count: number): Promise<number> {
	const begun = performance.now();
	for await (const _ of decode(session, count));
	return (performance.now() - begun) / count;
}

async function filled(model: Model, policy: Policy, tokens: number): Promise<Session> {
	await model.prepare(policy);
	const session = model.createSession({ policy });
	await session.append([...goldenTokens().subarray(0, tokens)]);
	return session;
}

function decode(session: Session, count: number, signal?: AbortSignal): AsyncIterable<unknown> {
	return session.generate({
		temperature: 0,
		ignoreEndOfText: true,
		maxTokens: count,
		...(signal && { signal }),
	});
}

/** The same runtime, whose stores add up the time that they spend on writing. */
function withTimedWrites(runtime: Runtime, clock: { writing: number }): Runtime {
	const create = runtime.createKvStore.bind(runtime);
	const createKvStore: Runtime["createKvStore"] = (shape) => {
		const store = create(shape);
		const write = store.write.bind(store);
		const timedWrite: KvStore["write"] = async (writes) => {
			const begun = performance.now();
			await write(writes);
			clock.writing += performance.now() - begun;
		};
		return Object.assign(store, { write: timedWrite });
	};
	return Object.assign(runtime, { createKvStore });
}

export function formatSteps({ machine, threads, steps, times, recomputation }: StepsReport): string {
	const ms = (value: number): string => value.toFixed(2);
	const head = [
		formatMachine(machine),
		`Load ${machine.load.toFixed(1)} before. ${threads} threads, ${steps.toLocaleString("en")} steps under each policy, greedy, windows full.`,
	];
	const rows = times.map(({ policy, p50, p90, p99, whole, planning, writing }) => [
		policy,
		ms(p50),
		ms(p90),
		ms(p99),
		(p99 / p50).toFixed(2),
		planning.toFixed(3),
		writing.toFixed(3),
		`${((100 * (planning + writing)) / whole).toFixed(1)} %`,
	]);
	const columns = ["policy", "p50 (ms)", "p90", "p99", "p99 ÷ p50", "planning", "writing", "share of a step"];
	const lines = [...head, "", formatTable(columns, rows)];
	if (recomputation === undefined) return lines.join("\n");
	const { window, sinks, recompute: reread, ratio } = recomputation;
	const range = ({ median, min, max }: Spread): string =>
		`${median.toFixed(1)} (${min.toFixed(1)}–${max.toFixed(1)})`;
	return [
		...lines,
		"",
		formatTable(
			[`window of ${window.toLocaleString("en")}, median (min–max)`, "ms per token"],
			[
				[`${SINKS} sinks and a window`, range(sinks)],
				["the window read again for each token", range(reread)],
				["ratio, round by round", range(ratio)],
			],
		),
	].join("\n");
}
