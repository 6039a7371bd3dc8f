/** What goes wrong outside: the page says so, stays of use, and leaves nothing behind. */
import assert from "node:assert/strict";
import { statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { resolveModel } from "@tok/lm";
import type { BrowserContext, Page } from "playwright-core";
import { atLeast, begin, figuresOf, launch, load, loaded, MINUTES, type Stage, step, stop } from "./stage.ts";
import { workersOf } from "./watch-devices.ts";

export async function badInput(stage: Stage): Promise<void> {
	await using visit = await stage.visit();
	const { page, context } = visit;
	await step("a model that is too large is refused before it is fetched", () => tooLarge(stage, page));
	await step("a file that is no model is an error, wherever it comes from", () => noModel(stage, page));
	await step("a download that is stopped goes on where it was", () => stopped(stage, page));
	await step("a full storage is told, with what there is", () => quota(stage, page, context));
	await step("of two tabs one fetches, and both run", () => twoTabs(stage));
	await step("a tab that was asleep goes on", () => asleep(page, context));
	await step("without WebGPU the processor computes", () => withoutWebGpu(stage));
	assert.equal(workersOf(page).length, 1, "expected the workers of earlier models to be gone");
}

async function problem(page: Page, text: string | RegExp): Promise<void> {
	try {
		await page.locator(".state .problem", { hasText: text }).waitFor({ timeout: MINUTES });
	} catch {
		const state = await page.locator(".state").textContent();
		assert.fail(`expected a problem with ${text}, got ${state?.trim().replace(/\s+/g, " ")}`);
	}
}

async function open(page: Page, address: string): Promise<void> {
	await page.getByLabel(/^model/).selectOption("");
	await page.getByLabel(/^address/).fill(address);
	await page.getByRole("button", { name: /^Load( again)?$/ }).click();
}

async function tooLarge({ files, address }: Stage, page: Page): Promise<void> {
	files.serve("huge-Q4_0.gguf", { bytes: 5e9 });
	await open(page, `${address}odd/huge-Q4_0.gguf`);
	await problem(page, /a file of 5\.00\sGB and takes about \S+\sGB in memory; a page has room for 3\.22\sGB/);
	await drop(page, { name: "huge-Q8_0.gguf", gibibytes: 6 });
	await problem(page, /a file of 6\.44\sGB and takes about/);
}

async function noModel({ files, address, scratch }: Stage, page: Page): Promise<void> {
	const file = join(scratch, "chosen.gguf");
	writeFileSync(file, "no model at all, but long enough to be one");
	await page.locator("input[type=file][multiple]").setInputFiles(file);
	await problem(page, /\[tok\/lm\] chosen\.gguf: expected a GGUF file/);
	await drop(page, { name: "dropped.gguf", text: "no model either, and as long" });
	await problem(page, /\[tok\/lm\] dropped\.gguf: expected a GGUF file/);
	const content = new TextEncoder().encode("<!doctype html><title>Sign in</title>");
	files.serve("page.gguf", { bytes: content.length, content });
	await open(page, `${address}odd/page.gguf`);
	await problem(page, /page\.gguf: expected a GGUF file .* got 3c 21 64 6f; check the URL/);
	await open(page, `${address}odd/nowhere/model.gguf`);
	await problem(page, /nowhere\/model\.gguf: /);
	assert.equal(await page.getByText("kept:").count(), 0);
}

async function stopped({ files, address }: Stage, page: Page): Promise<void> {
	const { path } = await resolveModel("smollm2-135m");
	files.serve("far-Q4_1.gguf", { bytes: statSync(path).size, path, hangAfter: 30_000_000 });
	await open(page, `${address}odd/far-Q4_1.gguf`);
	await page.getByText(/download .*: 30\.0\sMB of/).waitFor({ timeout: MINUTES });
	await page.getByRole("button", { name: "Stop" }).click();
	await problem(page, "Loading was stopped. What has come is kept");
	await page.getByText(/kept: far-Q4_1\.gguf, 30\.0\sMB so far/).waitFor();
	await page.getByRole("button", { name: /^Load( again)?$/ }).click();
	await loaded(page);
	const ranges = files.requests.filter(({ name }) => name === "far-Q4_1.gguf").map(({ range }) => range);
	assert.deepEqual(ranges, [undefined, "bytes=30000000-"]);
	await page.getByRole("button", { name: /^Remove .*far/ }).click();
	await page.getByText("kept:").waitFor({ state: "detached" });
}

async function quota({ files, address }: Stage, page: Page, context: BrowserContext): Promise<void> {
	const session = await context.newCDPSession(page);
	const origin = new URL(address).origin;
	await session.send("Storage.overrideQuotaForOrigin", { origin, quotaSize: 50_000_000 });
	const full = /the browser grants this site \d+ bytes, of which \d+ are taken\. Remove stored models/;
	await page.getByLabel(/^model/).selectOption({ index: 0 });
	await page.getByRole("button", { name: /^Load( again)?$/ }).click();
	await problem(page, full);
	await page.getByRole("button", { name: /^Remove .*smollm2/ }).click();
	await page.getByText("kept:").waitFor({ state: "detached" });
	// A server that does not say how much there is.
	const content = new Uint8Array(80_000_000);
	content.set(new TextEncoder().encode("GGUF"));
	files.serve("unsized.gguf", { bytes: undefined, content });
	await open(page, `${address}odd/unsized.gguf`);
	await problem(page, full);
	await page.getByRole("button", { name: /^Remove .*unsized/ }).click();
	await page.getByText("kept:").waitFor({ state: "detached" });
	await session.send("Storage.overrideQuotaForOrigin", { origin });
	await page.getByLabel(/^model/).selectOption({ index: 0 });
	await load(page, "wasm");
}

async function twoTabs(stage: Stage): Promise<void> {
	const { path } = await resolveModel("smollm2-135m");
	stage.files.serve("shared-Q4_1.gguf", { bytes: statSync(path).size, path });
	await using visit = await stage.visit();
	const other = await visit.context.newPage();
	await other.goto(stage.address);
	const tabs = [visit.page, other];
	await Promise.all(tabs.map((tab) => open(tab, `${stage.address}odd/shared-Q4_1.gguf`)));
	for (const tab of tabs) await loaded(tab);
	const { requests } = stage.files;
	assert.equal(requests.filter(({ name }) => name === "shared-Q4_1.gguf").length, 1);
	for (const tab of tabs) await begin(tab, "Endless");
	for (const tab of tabs) await atLeast(tab, 32);
}

async function asleep(page: Page, context: BrowserContext): Promise<void> {
	const session = await context.newCDPSession(page);
	await begin(page, "Endless");
	await atLeast(page, 32);
	await session.send("Page.setWebLifecycleState", { state: "frozen" });
	await new Promise((resolve) => setTimeout(resolve, 3000));
	await session.send("Page.setWebLifecycleState", { state: "active" });
	const before = Math.max(...(await figuresOf(page, "tokens")));
	await atLeast(page, before + 32);
	await stop(page);
}

async function withoutWebGpu(stage: Stage): Promise<void> {
	const browser = await launch((flags) => [
		...flags.filter((flag) => !/webgpu|Vulkan/.test(flag)),
		"--disable-features=WebGPU",
	]);
	try {
		await using visit = await stage.visit(stage.address, browser);
		const { page } = visit;
		const option = page.getByLabel(/^backend/).locator("option[value=webgpu]");
		await option.and(page.locator(":disabled")).waitFor({ state: "attached" });
		assert.match((await option.textContent()) ?? "", /this browser has no WebGPU|lets pages use no GPU/);
		await load(page);
		await loaded(page, "wasm");
		await page.locator(".state", { hasText: "webgpu: " }).waitFor();
		await begin(page, "Endless");
		await atLeast(page, 16);
	} finally {
		await browser.close();
	}
}

async function drop(
	page: Page,
	file: { readonly name: string; readonly text?: string; readonly gibibytes?: number },
): Promise<void> {
	const taken = await page.evaluate(({ name, text = "", gibibytes = 0 }) => {
		// Of one block over and over: so much fits in no memory.
		const block = new Blob([new Uint8Array(2 ** 20)]);
		const gibibyte = new Blob(Array.from({ length: 1024 }, () => block));
		const dataTransfer = new DataTransfer();
		dataTransfer.items.add(new File([text, ...Array.from({ length: gibibytes }, () => gibibyte)], name));
		const event = new DragEvent("drop", { dataTransfer, bubbles: true, cancelable: true });
		return !document.body.dispatchEvent(event);
	}, file);
	assert(taken, "expected the page to take what is dropped on it");
}
