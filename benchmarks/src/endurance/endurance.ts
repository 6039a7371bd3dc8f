/**
 * Whether a token costs the same after a long time. One session generates (temperature 1, so that it does not loop).
 * At an early point it is forked; at the end, blocks of steps of the long stream and of the fork alternate, so that
 * what else the machine does falls on both, and their medians are compared. The plain medians as the stream passed
 * the two points, and the memory of each sitting early and late, are reported beside it.
 *
 * A run that is interrupted goes on where it was, from its saved sessions.
 */
import { formatPolicy, type Policy } from "@tok/kv-cache";
import { loadModel, type Model, type Session } from "@tok/lm";
import { cpu } from "@tok/runtime-cpu";
import { currentLoad, describeMachine } from "../support/machine.ts";
import { clearProgress, note, showProgress } from "../support/progress.ts";
import { median } from "../support/statistics.ts";
import { type Checkpoint, CheckpointFolder, type Sample, type Sitting } from "./checkpoint.ts";

export interface EnduranceOptions {
	readonly model: string;
	readonly threads: number;
	readonly policy: Policy;
	/** Tokens to generate. */
	readonly tokens: number;
	/** Tokens that are timed on either side at the end. */
	readonly steps: number;
	/** Where an interrupted run is kept. */
	readonly folder: string;
	/** Forgets a kept run. */
	readonly fresh: boolean;
	readonly signal: AbortSignal;
}

/** At a point of the stream. */
export interface Point {
	readonly tokens: number;
	readonly value: number;
}

export interface Pair {
	readonly early: Point;
	readonly late: Point;
}

export interface EnduranceReport {
	readonly policy: string;
	readonly threads: number;
	readonly wanted: number;
	/** Tokens that were generated: fewer than wanted when it was interrupted. */
	readonly tokens: number;
	readonly steps: number;
	/** An interrupted run that can be gone on with. */
	readonly kept: boolean;
	readonly sittings: readonly Sitting[];
	/** Median ms per token of the early fork and of the long stream, alternating at the end. */
	readonly alternating: Pair | undefined;
}

const BLOCK = 25;
const SAMPLE = 500;
/** Tokens between lines of the log, and between saves. */
const NOTE = 10_000;
/** Tokens after which a step counts as early. */
export const TIME_POINT = 2_000;
const SEED = 1;

export async function measureEndurance(options: EnduranceOptions): Promise<EnduranceReport> {
	const { tokens, threads, signal } = options;
	const policy = formatPolicy(options.policy);
	const subject = { model: options.model, policy, threads };
	const folder = new CheckpointFolder(options.folder);
	const kept = options.fresh ? undefined : folder.read(subject);
	// Also sessions whose run was not written down to the end.
	if (kept === undefined) folder.remove();
	const machine = describeMachine();
	await using runtime = cpu({ threads });
	await using model = await loadModel(options.model, { runtime });
	using stream = await LongStream.open(model, options, folder, kept);
	const from = stream.tokens;
	const begun = performance.now();
	const samples: Sample[] = [];
	const sittings = (): Sitting[] => {
		const seconds = (performance.now() - begun) / 1000;
		return [...(kept?.sittings ?? []), { machine, from, seconds, samples }];
	};
	const save = (): Promise<void> =>
		folder.write({ subject, tokens: stream.tokens, sittings: sittings() }, stream);
	if (kept !== undefined) note(`going on at ${kept.tokens.toLocaleString("en")} tokens`);

	while (stream.tokens < tokens && !signal.aborted) {
		const sample = await stream.advance(Math.min(SAMPLE - (stream.tokens % SAMPLE), tokens - stream.tokens));
		if (sample === undefined) break;
		samples.push(sample);
		const line = `${sample.tokens.toLocaleString("en")} of ${tokens.toLocaleString("en")} tokens, ${sample.milliseconds.toFixed(2)} ms each, ${(sample.resident / 1e6).toFixed(1)} MB, load ${sample.load.toFixed(1)}`;
		if (sample.tokens % NOTE > 0) showProgress(line);
		else {
			note(line);
			await save();
		}
	}
	const complete = stream.tokens >= tokens;
	const keep = !complete && stream.forked;
	if (keep) await save();
	const alternating = complete ? await alternate(stream, options) : undefined;
	if (complete && !signal.aborted) folder.remove();
	clearProgress();
	return {
		policy,
		threads,
		wanted: tokens,
		tokens: stream.tokens,
		steps: options.steps,
		kept: keep,
		sittings: sittings(),
		alternating,
	};
}

/** The stream, and its fork at the early point. */
class LongStream implements Disposable {
	readonly late: Session;
	readonly #earlyPoint: number;
	readonly #signal: AbortSignal;
	#early: Session | undefined;
	#tokens: number;

	private constructor(
		late: Session,
		early: Session | undefined,
		tokens: number,
		{ tokens: wanted, signal }: EnduranceOptions,
	) {
		this.late = late;
		this.#early = early;
		this.#tokens = tokens;
		this.#signal = signal;
		this.#earlyPoint = Math.min(TIME_POINT, Math.max(1, Math.floor(wanted / 4)));
	}

	static async open(
		model: Model,
		options: EnduranceOptions,
		folder: CheckpointFolder,
		kept: Checkpoint | undefined,
	): Promise<LongStream> {
		const { policy } = options;
		await model.prepare(policy);
		if (kept === undefined) return new LongStream(model.createSession({ policy }), undefined, 0, options);
		const restore = (name: string): Promise<Session> => model.restoreSession(folder.path(name), { policy });
		return new LongStream(await restore(kept.late), await restore(kept.early), kept.tokens, options);
	}

	get tokens(): number {
		return this.#tokens;
	}

	/** Throws before the early point. */
	get early(): Session {
		if (this.#early === undefined) throw new RangeError("endurance: the early point has not been reached.");
		return this.#early;
	}

	get forked(): boolean {
		return this.#early !== undefined;
	}

	/** Generates `count` tokens; undefined when it was interrupted. */
	async advance(count: number): Promise<Sample | undefined> {
		const times: number[] = [];
		while (times.length < count) {
			const untilFork = this.#early === undefined ? this.#earlyPoint - this.#tokens : count;
			const block = Math.min(count - times.length, untilFork);
			const before = times.length;
			for await (const time of timedSteps(this.late, block, this.#signal)) times.push(time);
			this.#tokens += times.length - before;
			if (this.#tokens === this.#earlyPoint) this.#early = this.late.fork();
			if (times.length - before < block) return undefined;
		}
		return {
			tokens: this.#tokens,
			milliseconds: median(times),
			resident: process.memoryUsage.rss(),
			load: currentLoad(),
		};
	}

	[Symbol.dispose](): void {
		this.late.dispose();
		this.#early?.dispose();
	}
}

async function alternate(
	{ early, late, tokens }: LongStream,
	{ steps, signal }: EnduranceOptions,
): Promise<Pair | undefined> {
	const begun = early.stats.length;
	const times = { early: [] as number[], late: [] as number[] };
	while (times.late.length < steps && !signal.aborted) {
		showProgress(`alternating: ${times.late.length} of ${steps} steps`);
		for await (const milliseconds of timedSteps(early, BLOCK, signal)) times.early.push(milliseconds);
		for await (const milliseconds of timedSteps(late, BLOCK, signal)) times.late.push(milliseconds);
	}
	if (times.late.length === 0) return undefined;
	return {
		early: { tokens: begun, value: median(times.early) },
		late: { tokens, value: median(times.late) },
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
