/**
 * The built page, hosted: a visitor fetches no more than is promised before the first token; on the second visit the page
 * needs no server, nor does the model, nor a view that nobody has looked at.
 */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import type { Page } from "playwright-core";
import { preview } from "vite";
import { MOST_FIRST, sum, weighPage } from "../scripts/weigh.ts";
import { atLeast, begin, load, MINUTES, root, type Stage, say, step, stop } from "./stage.ts";

export async function offline(stage: Stage): Promise<void> {
	const outDir = join(stage.scratch, "dist");
	// In a process of its own: in this one a server for development has said which kind of build it is.
	await step("the page is built", async () => {
		const vite = ["--conditions=@tok/source", join(root, "node_modules/vite/bin/vite.js"), "build"];
		const options = ["--configLoader", "native", "--logLevel", "error", "--outDir", outDir];
		const env = { ...process.env, NODE_ENV: "production" };
		execFileSync(process.execPath, [...vite, ...options], { cwd: root, env, stdio: "inherit" });
	});
	const server = await preview({
		root,
		configFile: join(root, "vite.config.ts"),
		configLoader: "native",
		build: { outDir },
		preview: { port: 0 },
	});
	const address = server.resolvedUrls?.local[0] as string;
	await step("no more is fetched before the first token than is promised", async () => {
		await using visit = await stage.visit("about:blank");
		await weighs(visit.page, address, outDir);
	});
	await step("a view that cannot be fetched says so, and is there after a reload", async () => {
		await using visit = await stage.visit("about:blank");
		await reloads(visit.page, address);
	});
	await using visit = await stage.visit(address);
	const { page } = visit;
	await step("the first visit keeps the page, and what computes", async () => {
		await page.waitForFunction(() => navigator.serviceWorker.controller !== null, undefined, {
			timeout: MINUTES,
		});
		await load(page, "wasm");
		await begin(page, "Endless");
		await atLeast(page, 16);
		await stop(page);
	});
	await server.close();
	await step("the second one needs no server", async () => {
		await page.reload();
		assert(await page.evaluate(() => crossOriginIsolated), "expected the page to be isolated as before");
		await load(page, "wasm");
		await begin(page, "Endless");
		await atLeast(page, 64);
		await stop(page);
	});
	await step("nor do views that nobody has looked at", async () => {
		await begin(page, "Chat");
		await say(page, "What is the capital of France?");
		assert.match((await page.locator(".turn").allInnerTexts()).at(-1) ?? "", /Paris/);
		for (const view of ["Remember", "Sinks", "Inside"] as const) {
			await page.getByRole("link", { name: view }).click();
			await page.getByRole("heading", { name: view, level: 2 }).waitFor();
		}
	});
	await step("and says what it cannot have", async () => {
		await page.getByLabel(/^model/).selectOption("smollm2-135m");
		await page.route("https://**", (route) => route.abort());
		await page.getByRole("button", { name: "Load again" }).click();
		await page
			.locator(".state .problem", { hasText: "the server cannot be reached" })
			.waitFor({ timeout: MINUTES });
	});
}

/** On the heavier backend, by the requests of the page and its worker. */
async function weighs(page: Page, address: string, folder: string): Promise<void> {
	const fetched = new Set<string>();
	// What the service worker keeps meanwhile is for later.
	page.on("request", (request) => {
		if (request.serviceWorker() === null) fetched.add(request.url().replace(address, ""));
	});
	await page.goto(address);
	await load(page, "webgpu");
	await begin(page, "Endless");
	await page.waitForFunction(() => figures("tokens").some((each) => each > 0), undefined, {
		timeout: 3 * MINUTES,
	});
	const { first, later } = weighPage(folder);
	// What draws figures is asked for with the first token, and may be on its way by now.
	const drawing = /^assets\/uPlot/;
	const files = [...first, ...later].filter(
		({ name }) => fetched.has(name === "index.html" ? "" : name) && !drawing.test(name),
	);
	assert.deepEqual(
		files.map(({ name }) => name).sort(),
		first.map(({ name }) => name).sort(),
		"expected what scripts/weigh.ts says that a visitor fetches first",
	);
	assert(sum(files) <= MOST_FIRST, `expected at most ${MOST_FIRST} bytes, got ${sum(files)}`);
}

async function reloads(page: Page, address: string): Promise<void> {
	// It would answer for the network.
	await page.addInitScript(() =>
		Object.defineProperty(Navigator.prototype, "serviceWorker", { value: undefined }),
	);
	await page.goto(address);
	const height = (): Promise<number> => page.evaluate(() => document.documentElement.scrollHeight);
	const before = await height();
	await page.route("**/assets/sinks-*.js", (route) => route.abort());
	const link = page.getByRole("link", { name: "Sinks" });
	await link.click();
	await page.getByRole("alert").filter({ hasText: "The view could not be fetched." }).waitFor();
	assert(
		await link.evaluate((element) => element === document.activeElement),
		"expected the focus on the link",
	);
	assert((await height()) >= before, "expected the page to be as tall as before");
	await page.unroute("**/assets/sinks-*.js");
	await page.getByRole("button", { name: "Reload" }).click();
	await page.getByRole("heading", { name: "Sinks", level: 2 }).waitFor();
}
