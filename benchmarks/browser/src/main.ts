/** `npm run bench browser`: see the usage below. */
import { availableParallelism } from "node:os";
import { TokError } from "@tok/lm";
import { readArguments } from "../../src/support/arguments.ts";
import { reportFailures } from "../../src/support/failures.ts";
import { MODEL, resultPath } from "../../src/support/inputs.ts";
import { interruptSignal } from "../../src/support/interrupt.ts";
import { note } from "../../src/support/progress.ts";
import { writeJson } from "../../src/support/write-aside.ts";
import { measureBrowser } from "./browser.ts";
import { formatBrowser } from "./browser-table.ts";
import { type SideName, sideNames } from "./sides.ts";

/** A round of them takes five minutes; the others when they are asked for. */
const USUAL = /^(tok exact|wllama|transformers\.js (fp32|q8)|a counting loop)$/;
const ON_GPU = /, GPU$|^a counting loop$/;

const usage = `bench browser      tok against wllama and transformers.js in one Chromium, on WebAssembly or a GPU

  --model NAME     Default: ${MODEL}
  --threads N      Threads of each side. Default: 2, or the only core
  --rounds N       Default: 5
  --steps N        Tokens written in a visit. Default: 1000
  --only PATTERN   Sides whose names match: "tok|wllama$". Default: ${USUAL.source}
                   All of them: ${sideNames.join("; ")}
  --gpu            The sides on WebGPU, on the machine's GPU. CHROME_PATH names a Chromium with drivers for it
  --fresh          Do not go on with a measurement that was interrupted
  --out FILE       JSON. Default: benchmarks/results/browser.json
  --quick          One small round, to see that it works`;

reportFailures();
const { text, integer, pattern, has } = readArguments(["browser"], usage);
const quick = has("quick");
const only = pattern("only") ?? (has("gpu") ? ON_GPU : USUAL);
const sides: SideName[] = sideNames.filter((name) => only.test(name));
if (sides.length === 0)
	throw new TokError(
		"benchmarks",
		`only: expected a pattern that a side's name matches, got ${only}. Sides are ${sideNames.join("; ")}.`,
	);
const signal = interruptSignal();
const out = text("out") ?? resultPath("browser.json");
const report = await measureBrowser({
	model: text("model") ?? MODEL,
	threads: integer("threads") ?? Math.min(2, availableParallelism()),
	rounds: integer("rounds") ?? (quick ? 1 : 5),
	steps: integer("steps") ?? (quick ? 32 : 1000),
	sides,
	fresh: has("fresh"),
	signal,
});
console.log(formatBrowser(report));
writeJson(out, report);
note(`written to ${out}`);
process.exit(signal.aborted ? 130 : 0);
