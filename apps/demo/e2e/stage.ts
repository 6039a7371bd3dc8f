/** What the acts of the page's end-to-end test share: servers, browsers, and the hands that use the page. */
import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Browser, type BrowserContext, chromium, type Page } from "playwright-core";
import { createServer, type ViteDevServer } from "vite";
import { chromium as launchOptions } from "../../../scripts/chromium.ts";
import { OddFiles } from "./odd-files.ts";
import { watchDevices } from "./watch-devices.ts";

export const MINUTES = 60_000;
export const root: string = join(import.meta.dirname, "..");

export interface Visit {
	readonly page: Page;
	readonly context: BrowserContext;
	[Symbol.asyncDispose](): Promise<void>;
}

export class Stage {
	readonly scratch: string = mkdtempSync(join(tmpdir(), "tok-demo-"));
	readonly files: OddFiles = new OddFiles();
	readonly #server: ViteDevServer;
	readonly #browser: Browser;

	private constructor(server: ViteDevServer, browser: Browser, files: OddFiles) {
		this.#server = server;
		this.#browser = browser;
		this.files = files;
	}

	static async set(): Promise<Stage> {
		const files = new OddFiles();
		const server = await createServer({
			root,
			configFile: join(root, "vite.config.ts"),
			configLoader: "native",
			plugins: [files.plugin],
			server: { port: 0 },
		});
		await server.listen();
		return new Stage(server, await launch(), files);
	}

	get address(): string {
		return this.#server.resolvedUrls?.local[0] as string;
	}

	/** A visitor of their own storage. What the page throws is an error when they leave. */
	async visit(address = this.address, browser = this.#browser): Promise<Visit> {
		const context = await browser.newContext({ viewport: { width: 1400, height: 1000 } });
		const errors: string[] = [];
		context.on("weberror", (error) => errors.push(error.error().message));
		await context.addInitScript(inPage);
		const page = await context.newPage();
		watchDevices(page);
		await page.goto(address);
		return {
			page,
			context,
			async [Symbol.asyncDispose]() {
				await context.close();
				assert.deepEqual(errors, []);
			},
		};
	}

	async strike(): Promise<void> {
		await this.#browser.close();
		await this.#server.close();
		rmSync(this.scratch, { recursive: true, force: true });
	}
}

/** With a garbage collector that can be called. */
export async function launch(
	changeFlags: (flags: string[]) => string[] = (flags) => flags,
): Promise<Browser> {
	const { args, ...options } = await launchOptions();
	return chromium.launch({ ...options, args: changeFlags([...args, "--js-flags=--expose-gc"]) });
}

export async function step(what: string, run: () => Promise<void>): Promise<void> {
	const begun = performance.now();
	await run();
	console.log(`${((performance.now() - begun) / 1000).toFixed(1).padStart(6)} s  ${what}`);
}

/** Loads the model that is chosen, on any backend or on this one. */
export async function load(page: Page, backend = ""): Promise<void> {
	await page.getByLabel(/^backend/).selectOption(backend);
	await page.getByRole("button", { name: /^Load( again)?$/ }).click();
	await loaded(page, backend);
}

export async function loaded(page: Page, backend = "", precision = "fast"): Promise<void> {
	const state = page.locator(".state");
	const expected = `layers, ${precision}, on ${backend}`;
	try {
		await state.filter({ hasText: expected }).waitFor({ timeout: MINUTES });
	} catch {
		const got = (await state.textContent())?.trim().replace(/\s+/g, " ");
		assert.fail(`expected the page to say "${expected}", got "${got}"`);
	}
}

/** Chooses files on the disk for a model. */
export async function loadFiles(page: Page, paths: readonly string[], backend: string): Promise<void> {
	await page.getByLabel(/^backend/).selectOption(backend);
	await page.locator("input[type=file][multiple]").setInputFiles([...paths]);
	await loaded(page, backend, "exact");
}

/** Of every lane of a view. */
export function figuresOf(page: Page, name: string): Promise<number[]> {
	return page.evaluate((name) => figures(name), name);
}

export function atLeast(page: Page, tokens: number, timeout = 3 * MINUTES): Promise<unknown> {
	const reached = (least: number): boolean => figures("tokens").every((each) => each >= least);
	return page.waitForFunction(reached, tokens, { timeout });
}

/** Between two steps: how long one may take is the backend's. */
export async function stop(page: Page, most = 2000): Promise<void> {
	const begun = performance.now();
	await page.getByRole("button", { name: "Stop" }).click();
	await page.getByRole("button", { name: "Run" }).waitFor();
	const took = performance.now() - begun;
	assert(took < most, `expected lanes to stop within ${most} ms, got ${Math.round(took)}`);
}

export async function begin(
	page: Page,
	view: "Endless" | "Remember" | "Chat" | "Sinks" | "Inside",
): Promise<void> {
	await page.getByRole("link", { name: view }).click();
	if (view !== "Chat")
		await page.getByRole("button", { name: view === "Remember" ? "Ask" : "Run", exact: true }).click();
}

export async function say(page: Page, text: string): Promise<void> {
	await ask(page, text);
	await page.getByRole("button", { name: "Send" }).waitFor({ timeout: 2 * MINUTES });
}

/** Without waiting for the answer. */
export async function ask(page: Page, text: string): Promise<void> {
	await page.getByRole("textbox", { name: "Message", exact: true }).fill(text);
	await page.getByRole("button", { name: "Send" }).click();
}

function inPage(): void {
	const tasks: number[] = [];
	new PerformanceObserver((list) => {
		for (const { duration } of list.getEntries()) tasks.push(duration);
	}).observe({ type: "longtask" });
	Object.assign(globalThis, {
		longTasks: tasks,
		figures: (name: string): number[] =>
			[...document.querySelectorAll("dl div")]
				.filter((each) => each.querySelector("dt")?.textContent === name)
				.map((each) => Number(each.querySelector("dd")?.textContent?.replace(/\s/g, ""))),
	});
}

/** In the page: a figure of every lane, and the milliseconds of tasks over 50 ms. */
declare global {
	function figures(name: string): number[];
	var longTasks: number[];
}
