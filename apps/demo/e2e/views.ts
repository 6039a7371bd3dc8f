/** The views with the real model: lanes, policies, a fact that has left the window, a chat, sinks, and both backends. */
import assert from "node:assert/strict";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { atLeast, begin, figuresOf, load, MINUTES, type Stage, say, step, stop } from "./stage.ts";

export async function views(stage: Stage): Promise<void> {
	await using visit = await stage.visit();
	const { page, context } = visit;
	await step("a model is loaded", () => load(page));
	await step("lanes read the same stream, and a plain window breaks", () => lanes(page));
	await step("a policy that is none is told, and another one runs", () => policies(page));
	await step("a fact that has left the window is recalled", () => remember(page));
	await step("a chat is saved with its turns, and goes on", () =>
		chat(page, join(stage.scratch, "chat.tok")),
	);
	await step("a message that is stopped is closed, and the chat goes on", () => stoppedMessage(page));
	await step("one sink is enough, and none is not", () => sinks(page));
	await step("heads are looked into, token by token", () => inside(page));
	await step("the other backend runs the same lanes", () => otherBackend(page));
	await step("the model is there without a network", async () => {
		await context.route("**/models/**", (route) => route.abort());
		await load(page, "wasm");
	});
}

async function lanes(page: Page): Promise<void> {
	await begin(page, "Endless");
	await atLeast(page, 420);
	const [sinks = 0, plain = 0] = await figuresOf(page, "perplexity");
	assert(plain > 1.5 * sinks, `expected the plain window to break, got ${plain} against ${sinks}`);
	await stop(page);
}

async function policies(page: Page): Promise<void> {
	const field = page.getByLabel("Policy of lane 2");
	await field.fill("rollin:256");
	await page.getByText('got "rollin:256"').waitFor();
	await field.fill("sink:4,rolling:60");
	await page.getByText("cache 2.95").waitFor();
	await page.getByRole("button", { name: "Run" }).click();
	await atLeast(page, 80);
	assert.equal((await figuresOf(page, "perplexity")).length, 3);
	await stop(page);
}

async function remember(page: Page): Promise<void> {
	await begin(page, "Remember");
	await page.getByRole("button", { name: "Ask" }).waitFor({ timeout: 3 * MINUTES });
	const [sinks = "", memory = ""] = await page.locator(".answer").allInnerTexts();
	assert(
		!sinks.includes("58213") && memory.includes("58213"),
		`expected 58213 from memory alone, got ${sinks} and ${memory}`,
	);
	assert(
		(await page.locator(".fact.recalled").count()) > 0,
		"expected the planted sentence among those recalled",
	);
}

async function chat(page: Page, file: string): Promise<void> {
	const system = page.getByLabel(/^system message/);
	await begin(page, "Chat");
	await system.fill("Answer in one word.");
	await say(page, "What is the capital of France?");
	const said = await page.locator(".turn").allInnerTexts();
	const download = page.waitForEvent("download");
	await page.getByRole("button", { name: "Save" }).click();
	await (await download).saveAs(file);
	await page.getByRole("button", { name: "Start anew" }).click();
	await page.getByText("Nothing has been said yet.").waitFor();
	await system.fill("Something else.");
	await page.locator("input[accept='.tok']").setInputFiles(file);
	await page.getByText("What is the capital of France?").waitFor();
	assert.deepEqual(await page.locator(".turn").allInnerTexts(), said);
	assert.equal(await system.inputValue(), "Answer in one word.");
	await say(page, "And of Italy?");
	assert.equal(await page.locator(".turn").count(), 4);
	// The worker's chat outlives the view.
	await page.getByRole("link", { name: "Sinks" }).click();
	await page.getByRole("link", { name: "Chat" }).click();
	await page.getByText("And of Italy?").waitFor();
}

async function stoppedMessage(page: Page): Promise<void> {
	const message = page.getByRole("textbox", { name: "Message", exact: true });
	await message.fill("All work and no play makes Jack a dull boy. ".repeat(60));
	await page.getByRole("button", { name: "Send" }).click();
	await page.getByText(/^reading /).waitFor({ timeout: MINUTES });
	await page.getByRole("button", { name: "Stop" }).click();
	await page.getByRole("button", { name: "Send" }).waitFor({ timeout: MINUTES });
	await page.getByText(/Stopped: \S+ of its \S+ tokens were read/).waitFor();
	await say(page, "What is the capital of Spain?");
	const answer = (await page.locator(".turn").allInnerTexts()).at(-1);
	assert(answer?.includes("Madrid"), `expected an answer to the next question, got ${answer}`);
}

async function sinks(page: Page): Promise<void> {
	await page.getByRole("link", { name: "Sinks" }).click();
	await page.getByLabel(/^read/).selectOption("512");
	await page.getByRole("button", { name: "Run" }).click();
	await page.getByRole("button", { name: "Run" }).waitFor({ timeout: 3 * MINUTES });
	const [none = 0, one = 0] = (await page.locator("td.mono").allInnerTexts()).map(Number);
	assert(none > 1.5 * one, `expected the window without sinks to break, got ${none} against ${one}`);
}

async function inside(page: Page): Promise<void> {
	await begin(page, "Inside");
	await atLeast(page, 300);
	await page.getByRole("button", { name: "Pause" }).click();
	const goOn = page.getByRole("button", { name: "Go on" });
	await goOn.waitFor();
	const [before = 0] = await figuresOf(page, "tokens");
	await page.getByRole("button", { name: "One token" }).click();
	await page.waitForFunction((tokens) => figures("tokens")[0] === tokens + 1, before);
	await goOn.waitFor();
	const onSinks = async (): Promise<number> =>
		Number.parseFloat((await page.locator("#inside-view dd").nth(1).textContent()) ?? "");
	const share = await onSinks();
	assert(share > 10, `expected much of the attention on four sinks of 257 entries, got ${share} %`);
	await page.getByRole("gridcell", { name: "layer 3, head 1", exact: true }).click();
	await page.keyboard.press("ArrowRight");
	await page.getByRole("heading", { name: "layer 4, head 1" }).waitFor();
	await page.getByRole("slider").press("Home");
	await page.getByText(/token 0, sinks, slot 0: /).waitFor();
	await page.getByLabel("Policy").fill("rolling:60");
	await page.getByRole("button", { name: "Run", exact: true }).click();
	await atLeast(page, 100);
	assert.equal(await onSinks(), 0);
	await page.getByRole("button", { name: "Pause" }).click();
	await goOn.waitFor();
}

/** SwiftShader, where there is no GPU: slow. */
async function otherBackend(page: Page): Promise<void> {
	await load(page, "webgpu");
	await page.getByRole("link", { name: "Endless" }).click();
	await page.getByRole("button", { name: "Remove lane 3" }).click();
	await page.getByRole("button", { name: "Run" }).click();
	await atLeast(page, 32);
	await stop(page, 30_000);
}
