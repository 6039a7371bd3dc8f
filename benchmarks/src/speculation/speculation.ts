/**
 * What guessing from the stream gains, and where it loses. Every round forks one session twice, after the same prompt,
 * and generates as many tokens with guesses as without, in turn first; ratios are taken within a round. Sampled cases
 * have another seed each round, the same on both sides.
 */
import { formatPolicy, type Policy, rolling, sink } from "@tok/kv-cache";
import { type GenerateOptions, loadModel, type Model, type Session } from "@tok/lm";
import { cpu } from "@tok/runtime-cpu";
import { longText } from "../support/inputs.ts";
import { describeMachine, formatMachine, type Machine } from "../support/machine.ts";
import { clearProgress, showProgress } from "../support/progress.ts";
import { type Spread, spread } from "../support/statistics.ts";
import { formatTable } from "../support/table.ts";

export interface SpeculationOptions {
	readonly model: string;
	readonly threads: number;
	readonly rounds: number;
	/** Tokens of a round. */
	readonly steps: number;
	/** Most at a time. */
	readonly guesses: number;
	readonly signal: AbortSignal;
}

export interface SpeculationReport {
	readonly machine: Machine;
	readonly precision: string;
	readonly threads: number;
	readonly rounds: number;
	readonly steps: number;
	readonly guesses: number;
	readonly cases: readonly CaseReport[];
}

interface CaseReport {
	readonly name: string;
	readonly policy: string;
	/** Milliseconds per token. */
	readonly plain: Spread;
	readonly guessing: Spread;
	/** Time without guesses ÷ time with them, by round. */
	readonly gain: Spread;
	readonly guessed: number;
	readonly accepted: number;
	readonly tokensPerRun: number;
	/** Rounds in which both sides said the same to the end. */
	readonly same: number;
	readonly rounds: number;
}

interface Case {
	readonly name: string;
	readonly prompt: readonly number[];
	readonly sampling: GenerateOptions;
	readonly windows: readonly number[];
}

const STORY = "Once upon a time";
/** Where the passage to copy begins in the evaluation text, and its characters: more tokens than are generated. */
const PASSAGE = { from: 20_000, length: 2400 };

export async function measureSpeculation(options: SpeculationOptions): Promise<SpeculationReport> {
	const { threads, rounds, steps, guesses, signal } = options;
	const machine = describeMachine();
	await using runtime = cpu({ threads });
	await using model = await loadModel(options.model, { runtime });
	const reports: CaseReport[] = [];
	for (const each of casesOf(model)) {
		for (const window of each.windows) {
			if (signal.aborted) break;
			const report = await measure(model, each, [sink(4), rolling(window - 4)], options);
			if (report !== undefined) reports.push(report);
		}
	}
	clearProgress();
	return { machine, precision: model.info.precision, threads, rounds, steps, guesses, cases: reports };
}

function casesOf({ tokenizer, chatTemplate }: Model): Case[] {
	const story = tokenizer.encode(STORY);
	const text = longText().slice(PASSAGE.from, PASSAGE.from + PASSAGE.length);
	const ask = (request: string): number[] => {
		const content = `${request}\n\n${text}`;
		const rendered = chatTemplate?.render([{ role: "user", content }]) ?? content;
		return tokenizer.encode(rendered, { parseSpecial: true, addSpecialTokens: false });
	};
	const greedy = { temperature: 0 };
	return [
		{ name: "greedy story", prompt: story, sampling: greedy, windows: [256, 1024] },
		{
			name: "story at temperature 0.7",
			prompt: story,
			sampling: { temperature: 0.7 },
			windows: [256, 1024],
		},
		{
			name: "story at temperature 1, top-p 1",
			prompt: story,
			sampling: { temperature: 1, topP: 1 },
			windows: [256, 1024],
		},
		{
			name: "copying a passage",
			prompt: ask("Repeat the following text word by word, and write nothing else."),
			sampling: greedy,
			windows: [1024],
		},
		{
			name: "correcting its spelling",
			prompt: ask("Correct the spelling of this text, and change nothing else."),
			sampling: greedy,
			windows: [1024],
		},
	];
}

/** Undefined when it was interrupted before a round was recorded. */
async function measure(
	model: Model,
	{ name, prompt, sampling }: Case,
	policy: Policy,
	{ rounds, steps, guesses, signal }: SpeculationOptions,
): Promise<CaseReport | undefined> {
	using session = model.createSession({ policy });
	await session.append(prompt);
	const [plain, guessing]: [Side[], Side[]] = [[], []];
	const sides = [
		{ speculate: 0, into: plain },
		{ speculate: guesses, into: guessing },
	];
	// Round 0 warms up.
	for (let round = 0; round <= rounds && !signal.aborted; round++) {
		showProgress(`${name}, ${formatPolicy(policy)}: round ${round} of ${rounds}`);
		for (const { speculate, into } of round % 2 === 0 ? sides : sides.toReversed()) {
			const options = { ...sampling, seed: 1 + round, ignoreEndOfText: true, maxTokens: steps, speculate };
			const side = await timed(session, options);
			if (round > 0) into.push(side);
		}
	}
	if (plain.length === 0) return undefined;
	const total = (count: (side: Side) => number): number =>
		guessing.reduce((sum, side) => sum + count(side), 0);
	const accepted = total((side) => side.accepted);
	const runs = total((side) => side.runs);
	return {
		name,
		policy: formatPolicy(policy),
		plain: spread(plain.map(({ milliseconds }) => milliseconds)),
		guessing: spread(guessing.map(({ milliseconds }) => milliseconds)),
		gain: spread(
			plain.map(({ milliseconds }, i) => milliseconds / (guessing[i]?.milliseconds ?? Number.NaN)),
		),
		guessed: total((side) => side.guessed),
		accepted,
		tokensPerRun: (runs + accepted) / Math.max(1, runs),
		same: plain.filter(({ ids }, i) => ids.join() === guessing[i]?.ids.join()).length,
		rounds: plain.length,
	};
}

interface Side {
	/** Per token. */
	readonly milliseconds: number;
	readonly ids: readonly number[];
	readonly guessed: number;
	readonly accepted: number;
	readonly runs: number;
}

async function timed(session: Session, options: GenerateOptions): Promise<Side> {
	using fork = session.fork();
	const ids: number[] = [];
	const begun = performance.now();
	const generation = fork.generate(options);
	for (;;) {
		const step = await generation.next();
		if (step.done) {
			const { guessed = 0, accepted = 0, runs = 0 } = step.value.speculation ?? {};
			return { milliseconds: (performance.now() - begun) / ids.length, ids, guessed, accepted, runs };
		}
		ids.push(step.value.id);
	}
}

export function formatSpeculation(report: SpeculationReport): string {
	const { machine, precision, threads, rounds, steps, guesses, cases } = report;
	const head = [
		formatMachine(machine),
		`Load ${machine.load.toFixed(1)} before. ${precision}, ${threads} threads, at most ${guesses} guesses at a time, ${steps} tokens a round; medians (min–max) over ${rounds} rounds.`,
	];
	const range = ({ median, min, max }: Spread, digits: number): string =>
		`${median.toFixed(digits)} (${min.toFixed(digits)}–${max.toFixed(digits)})`;
	const rows = cases.map((each) => [
		each.name,
		each.policy,
		each.guessed === 0
			? "none"
			: `${each.accepted} of ${each.guessed} (${Math.round((100 * each.accepted) / each.guessed)} %)`,
		each.tokensPerRun.toFixed(2),
		range(each.plain, 1),
		range(each.guessing, 1),
		range(each.gain, 2),
		`${each.same} of ${each.rounds}`,
	]);
	const columns = [
		"",
		"policy",
		"guesses right",
		"tokens a run",
		"ms per token without",
		"ms per token with",
		"without ÷ with",
		"same text",
	];
	return [...head, "", formatTable(columns, rows)].join("\n");
}
