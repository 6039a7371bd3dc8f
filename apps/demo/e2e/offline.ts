/** The built page, hosted: on the second visit it needs no server, nor does the model. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { preview } from "vite";
import { atLeast, begin, load, MINUTES, root, type Stage, step, stop } from "./stage.ts";

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
	await step("and says what it cannot have", async () => {
		await page.getByLabel(/^model/).selectOption("smollm2-135m");
		await page.route("https://**", (route) => route.abort());
		await page.getByRole("button", { name: "Load again" }).click();
		await page
			.locator(".state .problem", { hasText: "the server cannot be reached" })
			.waitFor({ timeout: MINUTES });
	});
}
