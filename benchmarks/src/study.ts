/** `npm run study`: what attention sinks do to this model's perplexity; docs/sinks.md tells the outcome. */
import { availableParallelism } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { drawComparison, drawLongStream } from "./study/long-charts.ts";
import { longTokens, measureLongStream, measureStretches } from "./study/long-stream.ts";
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

const usage = `study [all]    every part
study windows  perplexity over position for windows with and without sinks, against the goldens (float32)
study long     a long text under sinks, and their ratio to recomputation

Parts that were measured are kept in benchmarks/results/study and not measured again.

  --out FOLDER     Figures (SVG) and their numbers (JSON). Default: docs/figures
  --threads N      Default: all cores
  --quick          Fewer tokens, to see that it works; figures go to benchmarks/results/figures
  --fresh          Measure again what was measured`;

reportFailures();
const { command, text, integer, has } = readArguments(["all", "windows", "long"], usage);
const quick = has("quick");
const docs = fileURLToPath(new URL("../../docs/figures", import.meta.url));
const out = text("out") ?? (quick ? resultPath("figures") : docs);
const threads = integer("threads") ?? availableParallelism();
const signal = interruptSignal();
const results = new Results(resultPath("study"), { fresh: has("fresh") });
const scorer = new Scorer(MODEL, { threads, signal });

try {
	if (command !== "long") await windows(quick ? 1024 : 6144);
	if (command !== "windows") await long(quick ? [2_000, 8, 4, 500] : [100_000, 64, 32, 5_000]);
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

async function long([tokens, stretches, stretch, bin]: [number, number, number, number]): Promise<void> {
	const precision = "fast";
	const ids = await longTokens(MODEL, tokens + 1);
	const stream = await measureLongStream(scorer, results, ids, precision);
	const options = { tokens, stretches, stretch, precision } as const;
	const measured = await measureStretches(scorer, results, ids, stream.values, options);
	const summary = {
		stream: summariseLongStream(stream.values, bin),
		recompute: summariseStretches(measured),
	};
	clearProgress();
	console.log(`\n${formatLongStream(summary.stream)}\n\n${formatStretches(summary.recompute)}\n`);
	console.log(machines([stream, ...measured]));
	writeAside(join(out, "long-stream.svg"), drawLongStream(stream.values, bin));
	writeAside(join(out, "recompute-ratio.svg"), drawComparison(measured, summary.recompute));
	writeJson(join(out, "long-stream.json"), { options, summary });
}

function machines(measurements: readonly { readonly machine: Machine }[]): string {
	return formatMachines(measurements.map(({ machine }) => machine) as [Machine, ...Machine[]]);
}
