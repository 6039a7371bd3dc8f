/**
 * `npm run demo:e2e`: the page in a real browser, with the real model: loads it, runs lanes, changes a policy and the
 * backend, asks for a fact that has left the window, saves a chat and goes on with it, drops a broken file, and loads
 * again without a network. Minutes.
 */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium, type Page } from "playwright-core";
import { createServer } from "vite";
import { chromium as launchOptions } from "../../../scripts/chromium.ts";

const MINUTES = 60_000;
const root = join(import.meta.dirname, "..");
const scratch = mkdtempSync(join(tmpdir(), "tok-demo-"));
const server = await createServer({
	root,
	configFile: join(root, "vite.config.ts"),
	configLoader: "native",
	server: { port: 0 },
});
const browser = await chromium.launch(await launchOptions());
try {
	await server.listen();
	const address = server.resolvedUrls?.local[0] as string;
	const context = await browser.newContext({ viewport: { width: 1400, height: 1000 } });
	const page = await context.newPage();
	const errors: string[] = [];
	page.on("pageerror", ({ message }) => errors.push(message));
	await page.addInitScript(() => {
		Object.assign(globalThis, {
			figures: (name: string): number[] =>
				[...document.querySelectorAll("dl div")]
					.filter((each) => each.querySelector("dt")?.textContent === name)
					.map((each) => Number(each.querySelector("dd")?.textContent?.replace(/\s/g, ""))),
		});
	});
	await page.goto(address);

	await step("a model is loaded", () => load(page));
	await step("lanes read the same stream, and a plain window breaks", () => lanes(page));
	await step("a policy that is none is told, and another one runs", () => policies(page));
	await step("a fact that has left the window is recalled", () => remember(page));
	await step("a chat is saved, and goes on", () => chat(page));
	await step("one sink is enough, and none is not", () => sinks(page));
	await step("a file that is no model is an error, wherever it is dropped", () => broken(page));
	await step("the other backend runs the same lanes", () => otherBackend(page));
	await step("the model is there without a network", async () => {
		await context.route("**/models/**", (route) => route.abort());
		await load(page, "wasm");
	});
	assert.deepEqual(errors, []);
} finally {
	await browser.close();
	await server.close();
	rmSync(scratch, { recursive: true, force: true });
}

async function step(what: string, run: () => Promise<void>): Promise<void> {
	const begun = performance.now();
	await run();
	console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${what}`);
}

async function load(page: Page, backend = ""): Promise<void> {
	await page.getByLabel(/^backend/).selectOption(backend);
	await page.getByRole("button", { name: /^Load( again)?$/ }).click();
	await page.locator(".state", { hasText: `layers, fast, on ${backend}` }).waitFor({ timeout: MINUTES });
}

async function lanes(page: Page): Promise<void> {
	await page.getByRole("link", { name: "Endless" }).click();
	await page.getByRole("button", { name: "Run" }).click();
	await atLeast(page, 420);
	const [sinks = 0, plain = 0] = await page.evaluate(() => figures("perplexity"));
	assert(plain > 1.5 * sinks, `expected the plain window to break, got ${plain} against ${sinks}`);
	await stop(page);
}

/** Between two steps: how long one may take is the backend's. */
async function stop(page: Page, most = 2000): Promise<void> {
	const begun = performance.now();
	await page.getByRole("button", { name: "Stop" }).click();
	await page.getByRole("button", { name: "Run" }).waitFor();
	const took = performance.now() - begun;
	assert(took < most, `expected lanes to stop within ${most} ms, got ${Math.round(took)}`);
}

async function policies(page: Page): Promise<void> {
	const field = page.getByLabel("Policy of lane 2");
	await field.fill("rollin:256");
	await page.getByText('got "rollin:256"').waitFor();
	await field.fill("sink:4,rolling:60");
	await page.getByText("cache 2.95").waitFor();
	await page.getByRole("button", { name: "Run" }).click();
	await atLeast(page, 80);
	assert.equal((await page.evaluate(() => figures("perplexity"))).length, 3);
	await stop(page);
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

function atLeast(page: Page, tokens: number): Promise<unknown> {
	const reached = (least: number): boolean => figures("tokens").every((each) => each >= least);
	return page.waitForFunction(reached, tokens, { timeout: 3 * MINUTES });
}

async function remember(page: Page): Promise<void> {
	await page.getByRole("link", { name: "Remember" }).click();
	await page.getByRole("button", { name: "Ask" }).click();
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

async function chat(page: Page): Promise<void> {
	await page.getByRole("link", { name: "Chat" }).click();
	await say(page, "What is the capital of France?");
	const download = page.waitForEvent("download");
	await page.getByRole("button", { name: "Save" }).click();
	const file = join(scratch, "chat.tok");
	await (await download).saveAs(file);
	await page.getByRole("button", { name: "Start anew" }).click();
	await page.locator("input[accept='.tok']").setInputFiles(file);
	await page.getByText("goes on").waitFor();
	await say(page, "And of Italy?");
	assert.equal(await page.locator(".turn").count(), 2);
}

async function sinks(page: Page): Promise<void> {
	await page.getByRole("link", { name: "Sinks" }).click();
	await page.getByLabel(/^read/).selectOption("512");
	await page.getByRole("button", { name: "Run" }).click();
	await page.getByRole("button", { name: "Run" }).waitFor({ timeout: 3 * MINUTES });
	const [none = 0, one = 0] = (await page.locator("td.mono").allInnerTexts()).map(Number);
	assert(none > 1.5 * one, `expected the window without sinks to break, got ${none} against ${one}`);
}

async function say(page: Page, text: string): Promise<void> {
	await page.getByRole("textbox", { name: "Message", exact: true }).fill(text);
	await page.getByRole("button", { name: "Send" }).click();
	await page.getByRole("button", { name: "Send" }).waitFor({ timeout: 2 * MINUTES });
}

async function broken(page: Page): Promise<void> {
	const file = join(scratch, "chosen.gguf");
	writeFileSync(file, "no model at all, but long enough to be one");
	await page.locator("input[type=file][multiple]").setInputFiles(file);
	const problem = page.locator(".state .problem", { hasText: "expected a GGUF file" });
	await problem.filter({ hasText: "[tok/lm] chosen.gguf:" }).waitFor();
	const taken = await page.evaluate(() => {
		const dataTransfer = new DataTransfer();
		dataTransfer.items.add(new File(["no model either, and as long"], "dropped.gguf"));
		const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
		return !document.body.dispatchEvent(event);
	});
	assert(taken, "expected the page to take what is dropped on it");
	await problem.filter({ hasText: "[tok/lm] dropped.gguf:" }).waitFor();
}

/** In the page: a figure of every lane. */
declare function figures(name: string): number[];
