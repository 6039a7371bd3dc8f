/** `npm run study`: what attention sinks do to this model's perplexity; docs/sinks.md tells the outcome. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { drawLongStream, drawRecompute } from "./study/long-charts.ts";
import {
	longTokens,
	measureLongStream,
	measureStretches,
	recompute,
	restart,
	type Stretch,
	type Yardstick,
} from "./study/long-stream.ts";
import { Results } from "./study/results.ts";
import { Scorer } from "./study/scorer.ts";
import { formatLongStream, formatOneSink, formatStretches, formatWindows } from "./study/study-table.ts";
import {
	compareOneSink,
	summariseLongStream,
	summariseStretches,
	summariseWindows,
} from "./study/summary.ts";
import { drawCollapse, drawPerplexity } from "./study/window-charts.ts";
import { measureWindows } from "./study/windows.ts";
import { readArguments } from "./support/arguments.ts";
import { reportFailures } from "./support/failures.ts";
import { MODEL, resultPath } from "./support/inputs.ts";
import { interruptSignal } from "./support/interrupt.ts";
import { formatMachines, type Machine } from "./support/machine.ts";
import { clearProgress, note } from "./support/progress.ts";
import { writeAside, writeJson } from "./support/write-aside.ts";

const usage = `study [all]      every part
study windows    perplexity over position for windows with and without sinks, against the goldens (float32)
study long       a long text under sinks, against streams that were restarted
study recompute  sinks against reading the last 256 tokens afresh for every prediction

Parts that were measured are kept in benchmarks/results/study and not measured again.

  --out FOLDER     Figures (SVG) and their numbers (JSON). Default: docs/figures
  --threads N      Default: all cores
  --quick          Fewer tokens, to see that it works; figures go to benchmarks/results/figures
  --fresh          Measure again what was measured`;

reportFailures();
interface LongSizes {
	readonly tokens: number;
	/** Of the table of perplexities. */
	readonly bin: number;
	readonly recomputed: { readonly count: number; readonly length: number };
	/** As many as there are bins. */
	readonly restarted: { readonly count: number; readonly length: number };
}
/** Quantised weights in the graph, 8-bit activations: what a user runs. */
const LONG_PRECISION = "fast";
const sizes: LongSizes = {
	tokens: 100_000,
	bin: 5_000,
	recomputed: { count: 64, length: 32 },
	restarted: { count: 20, length: 2_000 },
};
const quickSizes: LongSizes = {
	tokens: 2_000,
	bin: 500,
	recomputed: { count: 8, length: 4 },
	restarted: { count: 4, length: 100 },
};

const { command, text, integer, has } = readArguments(["all", "windows", "long", "recompute"], usage);
const quick = has("quick");
const docs = fileURLToPath(new URL("../../docs/figures", import.meta.url));
const out = text("out") ?? (quick ? resultPath("figures") : docs);
const threads = integer("threads") ?? availableParallelism();
const signal = interruptSignal();
const results = new Results(resultPath("study"), { fresh: has("fresh") });
const scorer = new Scorer(MODEL, { threads, signal });

try {
	const wanted = (part: typeof command): boolean => command === "all" || command === part;
	if (wanted("windows")) await windows(quick ? 1024 : 6144);
	if (wanted("long")) await long(quick ? quickSizes : sizes);
	if (wanted("recompute")) await recomputation(quick ? quickSizes : sizes);
} catch (error) {
	clearProgress();
	if (!signal.aborted) throw error;
	note("stopped; what was measured is kept, and the same command goes on from there.");
} finally {
	await scorer.dispose();
}
process.exit(signal.aborted ? 130 : 0);

async function windows(tokens: number): Promise<void> {
	const curves = await measureWindows(scorer, results, tokens);
	const summary = summariseWindows(curves);
	const oneSink = compareOneSink(curves);
	clearProgress();
	console.log(`\n${formatWindows(summary, tokens)}\n\n${formatOneSink(oneSink)}\n`);
	console.log(machines(curves));
	writeAside(join(out, "window-perplexity.svg"), drawPerplexity(curves));
	writeAside(join(out, "window-collapse.svg"), drawCollapse(curves));
	writeJson(join(out, "windows.json"), { tokens, summary, oneSink });
}

async function long({ tokens, bin, restarted }: LongSizes): Promise<void> {
	const { stream, machine, stretches } = await compareWith({ ...restart, ...restarted }, tokens);
	const summary = { stream: summariseLongStream(stream, bin), restart: summariseStretches(stretches) };
	clearProgress();
	console.log(`\n${formatLongStream(summary.stream, summary.restart)}\n`);
	console.log(`${formatStretches("restarted", summary.restart)}\n`);
	console.log(machines([{ machine }, ...stretches]));
	writeAside(join(out, "long-stream.svg"), drawLongStream(stretches, tokens));
	writeJson(join(out, "long-stream.json"), { tokens, precision: LONG_PRECISION, restarted, summary });
}

async function recomputation({ tokens, recomputed }: LongSizes): Promise<void> {
	const { stretches } = await compareWith({ ...recompute, ...recomputed }, tokens);
	const summary = summariseStretches(stretches);
	clearProgress();
	console.log(`\n${formatStretches("recompute", summary)}\n`);
	console.log(machines(stretches));
	writeAside(join(out, "recompute-ratio.svg"), drawRecompute(summary, recomputed.length));
	writeJson(join(out, "recompute-ratio.json"), { tokens, precision: LONG_PRECISION, recomputed, summary });
}

/** The long stream, and a yardstick beside it. */
async function compareWith(
	yardstick: Yardstick,
	tokens: number,
): Promise<{ stream: Float32Array; machine: Machine; stretches: Stretch[] }> {
	const ids = await longTokens(MODEL, tokens + 1);
	const precision = LONG_PRECISION;
	const { values: stream, machine } = await measureLongStream(scorer, results, ids, precision);
	const stretches = await measureStretches(scorer, results, { ids, stream, precision, yardstick });
	return { stream, machine, stretches };
}

function machines(measurements: readonly { readonly machine: Machine }[]): string {
	return formatMachines(measurements.map(({ machine }) => machine) as [Machine, ...Machine[]]);
}
