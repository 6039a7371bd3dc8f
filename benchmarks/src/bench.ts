/** `npm run bench` and its words: speed and memory, measured as docs/performance.md says. */
import { availableParallelism } from "node:os";
import { parsePolicy } from "@tok/kv-cache";
import { restartWithHugePages } from "@tok/runtime-cpu/huge-pages";
import { measureEndurance } from "./endurance/endurance.ts";
import { formatEndurance } from "./endurance/endurance-table.ts";
import { formatMemory, measureMemory } from "./memory/memory.ts";
import { formatSpeculation, measureSpeculation } from "./speculation/speculation.ts";
import { measureSpeed } from "./speed/speed.ts";
import { formatSpeed } from "./speed/speed-table.ts";
import { formatSteps, measureSteps } from "./steps/steps.ts";
import { readArguments } from "./support/arguments.ts";
import { runBrowserBench } from "./support/browser-bench.ts";
import { reportFailures } from "./support/failures.ts";
import { MODEL, resultPath } from "./support/inputs.ts";
import { interruptSignal } from "./support/interrupt.ts";
import { note } from "./support/progress.ts";
import { writeJson } from "./support/write-aside.ts";

const usage = `bench [speed]      tok against node-llama-cpp: prefill, decode, many streams at once, start, memory
bench steps        tok alone: how even steps are, the policy's share of them, and reading the window again instead
bench endurance    tok alone: milliseconds per token and memory at the start and at the end of a long run
bench speculation  tok alone: milliseconds per token with and without guesses, and how many of them are right
bench memory       tok alone: milliseconds per token with and without an archive, and what a token in it takes
bench browser      tok against wllama and transformers.js in a browser; has flags of its own: bench browser -- --help

  --model NAME     Default: ${MODEL}
  --threads N      Threads of each side. Default: 2, or the only core
  --out FILE       JSON. Default: benchmarks/results/<command>.json
  --quick          A few small rounds, to see that it works
speed:
  --rounds N       Default: 7
  --steps N        Tokens of a decoding case. Default: 64
  --peer-threads N Threads of node-llama-cpp: on two cores it may decode faster with one. Default: as --threads
  --only PATTERN   Cases whose names match this regular expression: "start|memory"
steps:
  --rounds N       Against reading the window again. Default: 5
  --steps N        Steps that are timed one by one. Default: 2000
endurance:
  --tokens N       Tokens generated. Default: 100000
  --steps N        Tokens timed on either side at the end. Default: 500
  --policy P       Default: sink:4,rolling:252
  --fresh          Do not go on with a run that was interrupted
speculation:
  --rounds N       Default: 5
  --steps N        Tokens of a round. Default: 400
  --guesses N      Most at a time. Default: 8
memory:
  --rounds N       Default: 9
  --steps N        Tokens of a round. Default: 32
  --archived LIST  Tokens in the archive. Default: 1024,16384
  --every LIST     Tokens that go on with one choice of blocks. Default: 1
  --heads LIST     Heads that remember: 14.0,17.1. Default: all
  --disk FOLDER    Keeps values of archives in files there. Default: in memory`;

reportFailures();
if (process.argv[2] === "browser") process.exit(await runBrowserBench(process.argv.slice(3)));
// As the command tok has them. Processes that are started here have them too, the other side's included.
restartWithHugePages();
const { command, text, integer, pattern, has } = readArguments(
	["speed", "steps", "endurance", "speculation", "memory"],
	usage,
);
const quick = has("quick");
const signal = interruptSignal();
const common = {
	model: text("model") ?? MODEL,
	threads: integer("threads") ?? Math.min(2, availableParallelism()),
	signal,
};
const out = text("out") ?? resultPath(`${command}.json`);

/** What is written to the file, and what is printed. */
interface Outcome {
	readonly report: object;
	readonly table: string;
}

const commands: Record<typeof command, () => Promise<Outcome>> = {
	async speed() {
		const report = await measureSpeed({
			...common,
			peerThreads: integer("peer-threads"),
			rounds: integer("rounds") ?? (quick ? 2 : 7),
			steps: integer("steps") ?? (quick ? 16 : 64),
			only: pattern("only"),
		});
		const table =
			report.cases.length > 0 ? formatSpeed(report) : "Interrupted before a case had run on both sides.";
		return { report, table };
	},
	async steps() {
		const report = await measureSteps({
			...common,
			rounds: integer("rounds") ?? (quick ? 2 : 5),
			steps: integer("steps") ?? (quick ? 100 : 2_000),
		});
		return { report, table: formatSteps(report) };
	},
	async endurance() {
		const report = await measureEndurance({
			...common,
			tokens: integer("tokens") ?? (quick ? 2_000 : 100_000),
			steps: integer("steps") ?? (quick ? 100 : 500),
			policy: parsePolicy(text("policy") ?? "sink:4,rolling:252"),
			folder: resultPath("endurance"),
			fresh: has("fresh"),
		});
		return { report, table: formatEndurance(report) };
	},
	async speculation() {
		const report = await measureSpeculation({
			...common,
			rounds: integer("rounds") ?? (quick ? 2 : 5),
			steps: integer("steps") ?? (quick ? 40 : 400),
			guesses: integer("guesses") ?? 8,
		});
		return { report, table: formatSpeculation(report) };
	},
	async memory() {
		const report = await measureMemory({
			...common,
			rounds: integer("rounds") ?? (quick ? 2 : 9),
			steps: integer("steps") ?? (quick ? 8 : 32),
			archived: (text("archived") ?? (quick ? "1024" : "1024,16384")).split(",").map(Number),
			every: (text("every") ?? "1").split(",").map(Number),
			disk: text("disk"),
			heads: text("heads")
				?.split(",")
				.map((name) => {
					const [layer, head] = name.split(".").map(Number);
					return { layer: layer as number, ...(head !== undefined && { heads: [head] }) };
				}),
		});
		return { report, table: formatMemory(report) };
	},
};

const { report, table } = await commands[command]();
console.log(table);
writeJson(out, report);
note(`written to ${out}`);
process.exit(signal.aborted ? 130 : 0);
