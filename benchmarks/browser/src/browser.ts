/**
 * tok in a browser against wllama and transformers.js on one model, alternating: in every round each side is visited once,
 * in a page of its own in the same browser, and who begins changes. Medians over the rounds; ratios within a round.
 */
import { execFileSync } from "node:child_process";
import { mkdtempDisposableSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { loadTokenizer } from "@tok/lm";
import { type Browser, chromium, type LaunchOptions } from "playwright-core";
import { chromium as chromiumLaunch } from "../../../scripts/chromium.ts";
import { goldenTokens, type ModelFile, modelFile, resultPath } from "../../src/support/inputs.ts";
import { describeMachine, type Machine } from "../../src/support/machine.ts";
import { clearProgress, note, showProgress } from "../../src/support/progress.ts";
import { preparePlaces } from "./prepare-places.ts";
import { choosePrompts, LONG } from "./prompts.ts";
import { keepRounds, keptRounds } from "./rounds.ts";
import { serve } from "./serve.ts";
import { isOnGpu, type SideName } from "./sides.ts";
import { type SideSummary, summarise } from "./summary.ts";
import { type Prompts, type Visit, visit } from "./visit.ts";

export interface BrowserOptions {
	readonly model: string;
	readonly threads: number;
	readonly rounds: number;
	/** Tokens written in a visit. */
	readonly steps: number;
	readonly sides: readonly SideName[];
	/** Forgets the rounds of a measurement that was stopped. */
	readonly fresh: boolean;
	readonly signal: AbortSignal;
}

export interface BrowserReport {
	readonly machine: Machine;
	readonly chromium: string;
	readonly model: ModelFile;
	readonly threads: number;
	readonly steps: number;
	/** Tokens of a long prompt. */
	readonly read: number;
	/** Load at the beginning of each visit: this measurement's own included. */
	readonly loads: readonly number[];
	readonly sides: readonly SideSummary[];
	readonly rounds: readonly (readonly Visit[])[];
}

const kept = resultPath("browser/rounds.json");

export async function measureBrowser(options: BrowserOptions): Promise<BrowserReport> {
	const { threads, rounds: wanted, steps, sides: names, signal } = options;
	const machine = describeMachine();
	const model = await modelFile(options.model);
	using folder = mkdtempDisposableSync(join(tmpdir(), "tok-browser-"));
	const places = await preparePlaces(folder.path, model.path, names, (what) =>
		showProgress(`preparing: ${what}`),
	);
	await using served = await serve(places);
	await using browser = await openBrowser(names.some(isOnGpu));
	const stop = (): void => void browser.close();
	signal.addEventListener("abort", stop, { once: true });
	const chromium = browser.version();
	const prompts = await readPrompts(options.model);
	const key = JSON.stringify({ packages: packagesTree(), chromium, model, threads, steps, names });
	const rounds = options.fresh ? [] : keptRounds(kept, key);
	if (rounds.length > 0) note(`goes on after round ${rounds.length}`);
	while (rounds.length < wanted && !signal.aborted) {
		const label = `round ${rounds.length + 1} of ${wanted}`;
		const round: Visit[] = [];
		for (const side of alternate(names, rounds.length)) {
			const onStage = (stage: string): void => showProgress(`${label}: ${side}, ${stage}`);
			try {
				round.push(await visit(side, { browser, address: served.address, threads, prompts, steps, onStage }));
			} catch (error) {
				// Ctrl-C closes the browser under the page.
				if (!signal.aborted) throw error;
				break;
			}
		}
		if (signal.aborted) break;
		rounds.push(round);
		keepRounds(kept, key, rounds);
		note(`${label} ended`);
	}
	signal.removeEventListener("abort", stop);
	clearProgress();
	const loads = rounds.flat().map(({ load }) => load);
	const sides = summarise(rounds, names, LONG);
	return { machine, chromium, model, threads, steps, read: LONG, loads, sides, rounds };
}

/** Vulkan, where there is no screen. Float16 is there on NVIDIA's GPUs too when Dawn is told to. */
const gpuFlags = [
	"--enable-unsafe-webgpu",
	"--enable-features=Vulkan",
	"--use-angle=vulkan",
	"--disable-vulkan-surface",
	"--ignore-gpu-blocklist",
	"--enable-dawn-features=vulkan_enable_f16_on_nvidia",
];

/** Without WebGPU, unless a side is on the GPU: every side computes on the processor. */
export async function openBrowser(gpu: boolean, options: LaunchOptions = {}): Promise<Browser> {
	const executablePath = options.executablePath ?? (await chromiumLaunch()).executablePath;
	const flags = ["--no-sandbox", "--disable-background-networking", "--disable-component-update"];
	return chromium.launch({
		...options,
		executablePath,
		args: [...flags, ...(gpu ? gpuFlags : [])],
		handleSIGINT: false,
		handleSIGTERM: false,
	});
}

async function readPrompts(model: string): Promise<Prompts> {
	const tokenizer = await loadTokenizer(model);
	return choosePrompts([...goldenTokens()], {
		encode: (text) => tokenizer.encode(text, { addSpecialTokens: false }),
		decode: (ids) => tokenizer.decode(ids),
	});
}

/** Who begins, and in which direction, changes from round to round. */
function alternate<T>(all: readonly T[], round: number): readonly T[] {
	const from = (round >> 1) % all.length;
	const turned = [...all.slice(from), ...all.slice(0, from)];
	return round % 2 === 0 ? turned : turned.reverse();
}

/** Rounds that were kept go on as long as the packages that they measure are the same. */
function packagesTree(): string {
	try {
		return execFileSync("git", ["rev-parse", "HEAD:packages"], {
			cwd: import.meta.dirname,
			encoding: "utf8",
		}).trim();
	} catch {
		return "";
	}
}
