/** 20,000 tokens, read on the GPU: heaps and buffers stay as they are, and the page never holds its breath. */
import assert from "node:assert/strict";
import { figuresOf, loadFiles, type Stage, step } from "./stage.ts";
import { tinyModel } from "./tiny-model.ts";
import { type Memory, memoryOf } from "./watch-devices.ts";

const TOKENS = 20_000;
/** Of them, until everything has come to its size: windows, the text that is shown, curves. */
const WARM = 4_000;
const MB = 1e6;

export async function longRun(stage: Stage): Promise<void> {
	await using visit = await stage.visit();
	const { page } = visit;
	await loadFiles(page, tinyModel(stage.scratch), "webgpu");
	await page.getByLabel("Policy of lane 2").fill("rolling:256");
	await page.getByRole("button", { name: "Remove lane 3" }).click();
	const samples: Memory[] = [];
	await step(`${TOKENS} tokens in each of two lanes`, async () => {
		await page.getByRole("button", { name: "Run", exact: true }).click();
		for (let least = WARM; least <= TOKENS; least += 2000) {
			const reached = (least: number): boolean => figures("tokens").every((each) => each >= least);
			await page.waitForFunction(reached, least, { timeout: 0, polling: 1000 });
			if (least === WARM) await page.evaluate(() => void longTasks.splice(0));
			const memory = await memoryOf(page);
			samples.push(memory);
			const [heaps, gpu] = [memory.heaps, memory.gpu].map((bytes) => (bytes / MB).toFixed(2));
			console.log(`${least} tokens: heaps ${heaps} MB, GPU ${gpu} MB in ${memory.buffers} buffers`);
		}
	});
	const [first, last] = [samples[0] as Memory, samples.at(-1) as Memory];
	const grown = (last.heaps - first.heaps) / MB;
	assert(grown < 2, `expected flat heaps, got ${grown.toFixed(2)} MB more`);
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
