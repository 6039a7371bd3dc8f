/** One visit: a fresh page of one side, measured from the first byte of the model to the last token, and closed. */
import type { Browser } from "playwright-core";
import { currentLoad } from "../../src/support/machine.ts";
import type { Engine, Prompt } from "./engine.ts";
import { type ProcessMemory, processMemory } from "./process-memory.ts";
import { type SideName, sides } from "./sides.ts";

declare global {
	var engine: Engine;
}

export interface VisitOptions {
	readonly browser: Browser;
	readonly address: string;
	readonly threads: number;
	readonly prompts: Prompts;
	/** Tokens written. */
	readonly steps: number;
	readonly onStage: (stage: string) => void;
}

export interface Visit {
	readonly side: SideName;
	readonly description: string;
	/** Of the machine, when the visit began. */
	readonly load: number;
	/** Milliseconds from asking for the model to the first token after a short prompt. */
	readonly start: number;
	/** Milliseconds of reading each long prompt; the first meets code that the browser has not optimised yet. */
	readonly reads: readonly number[];
	/** Milliseconds of each token written after a short prompt. */
	readonly times: readonly number[];
	/** The first of those tokens; none where the side does not tell. */
	readonly chosen: readonly number[];
	/** Of the page's process after the last token; undefined where it cannot be known. */
	readonly memory: ProcessMemory | undefined;
}

export interface Prompts {
	/** A short one, as a user's first is. */
	readonly short: Prompt;
	/** Different ones, to be read one after the other: nothing of one can be used again for the next. */
	readonly long: readonly Prompt[];
}

export async function visit(side: SideName, options: VisitOptions): Promise<Visit> {
	const { browser, address, threads, prompts, steps, onStage } = options;
	const load = currentLoad();
	const context = await browser.newContext();
	try {
		const page = await context.newPage();
		const problems: string[] = [];
		page.on("pageerror", ({ message }) => problems.push(message));
		await page.goto(`${address}/?${new URLSearchParams({ ...sides[side] })}`);
		await page.waitForFunction(() => globalThis.engine !== undefined);
		const { short: prompt } = prompts;
		onStage("start");
		const { description, start } = await page.evaluate(
			async ({ threads, prompt }) => {
				const begun = performance.now();
				const description = await engine.load({ threads });
				await engine.read(prompt);
				return { description, start: performance.now() - begun };
			},
			{ threads, prompt },
		);
		const reads: number[] = [];
		for (const long of prompts.long) {
			onStage(`reading ${long.ids.length} tokens`);
			reads.push(await page.evaluate((long) => engine.read(long), long));
		}
		onStage(`writing ${steps.toLocaleString("en")} tokens`);
		const { times, ids: chosen } = await page.evaluate(({ prompt, steps }) => engine.write(prompt, steps), {
			prompt,
			steps,
		});
		if (problems.length > 0) throw new Error(`${side}: ${problems.join("; ")}`);
		return { side, description, load, start, reads, times, chosen, memory: await pageMemory(browser) };
	} finally {
		await context.close();
	}
}

/** Of the renderer that takes the most: the one page that is open. */
async function pageMemory(browser: Browser): Promise<ProcessMemory | undefined> {
	const session = await browser.newBrowserCDPSession();
	const { processInfo } = await session.send("SystemInfo.getProcessInfo");
	await session.detach();
	return processInfo
		.filter(({ type }) => type === "renderer")
		.flatMap(({ id }) => processMemory(id) ?? [])
		.sort((a, b) => b.resident - a.resident)[0];
}
