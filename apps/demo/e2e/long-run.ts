/** 20,000 tokens, read on the GPU: heaps and buffers stay as they are, and the page never holds its breath. */
import assert from "node:assert/strict";
import { figuresOf, loadFiles, type Stage, step } from "./stage.ts";
import { tinyModel } from "./tiny-model.ts";
import { memoryOf, type WorkerMemory, workerOf } from "./watch-devices.ts";

const TOKENS = 20_000;
/** Of them, until everything has come to its size: windows, the text that is shown, curves. */
const WARM = 4_000;
const MB = 1e6;

interface Sample extends WorkerMemory {
	readonly tokens: number;
	/** The page's heap. */
	readonly page: number;
}

export async function longRun(stage: Stage): Promise<void> {
	await using visit = await stage.visit();
	const { page, context } = visit;
	const session = await context.newCDPSession(page);
	await loadFiles(page, tinyModel(stage.scratch), "webgpu");
	await page.getByLabel("Policy of lane 2").fill("rolling:256");
	await page.getByRole("button", { name: "Remove lane 3" }).click();
	const samples: Sample[] = [];
	await step(`${TOKENS} tokens in each of two lanes`, async () => {
		await page.getByRole("button", { name: "Run", exact: true }).click();
		for (let least = WARM; least <= TOKENS; least += 2000) {
			const reached = (least: number): boolean => figures("tokens").every((each) => each >= least);
			await page.waitForFunction(reached, least, { timeout: 0, polling: 1000 });
			if (least === WARM) await page.evaluate(() => void longTasks.splice(0));
			await session.send("HeapProfiler.collectGarbage");
			const { usedSize } = await session.send("Runtime.getHeapUsage");
			const memory = await memoryOf(workerOf(page));
			samples.push({ tokens: least, page: usedSize, ...memory });
			const { heap, gpu, buffers } = memory;
			const columns = [usedSize, heap, gpu].map((bytes) => (bytes / MB).toFixed(2).padStart(8)).join(" ");
			console.log(`${String(least).padStart(8)}   page, worker, GPU in MB: ${columns}   ${buffers} buffers`);
		}
	});
	const [first, last] = [samples[0] as Sample, samples.at(-1) as Sample];
	for (const which of ["page", "heap"] as const) {
		const grown = (last[which] - first[which]) / MB;
		assert(grown < 2, `expected a flat heap, got ${grown.toFixed(2)} MB more (${which})`);
	}
	assert(
		last.gpu <= first.gpu * 1.01,
		`expected flat GPU memory, got ${first.gpu} and then ${last.gpu} bytes`,
	);
	const tasks = await page.evaluate(() => longTasks);
	const longest = Math.max(0, ...tasks);
	console.log(
		`${String(tasks.length).padStart(8)}   tasks over 50 ms in the page, the longest ${longest} ms`,
	);
	assert(longest <= 100, `expected no task over 100 ms in the page, got one of ${longest} ms`);
	assert((await figuresOf(page, "tokens")).every((tokens) => tokens >= TOKENS));
}
