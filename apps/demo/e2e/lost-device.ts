/** The browser takes the GPU away: every view goes on, with what it would have come to anyway. */
import assert from "node:assert/strict";
import type { Locator, Page } from "playwright-core";
import {
	ask,
	atLeast,
	begin,
	figuresOf,
	loaded,
	loadFiles,
	MINUTES,
	type Stage,
	step,
	stop,
} from "./stage.ts";
import { tinyModel } from "./tiny-model.ts";
import { deviceCount, loseDevice } from "./watch-devices.ts";

export async function lostDevice(stage: Stage): Promise<void> {
	await using visit = await stage.visit();
	const { page } = visit;
	const files = tinyModel(stage.scratch);
	await loadFiles(page, files, "webgpu");
	await step("lanes go on when the device is lost", () => lanes(page));
	await step("an answer in a chat is what it would have been", () => chat(page));
	await step("a book is read on, and the question answered", () => remember(page));
	await step("a device that is lost again and again is left for the processor", () =>
		againAndAgain(page, files),
	);
}

async function lose(page: Page): Promise<void> {
	await loseDevice(page);
	await page.getByText("The browser has taken the GPU away").waitFor();
}

async function lanes(page: Page): Promise<void> {
	await begin(page, "Endless");
	await atLeast(page, 100);
	await lose(page);
	const before = Math.max(...(await figuresOf(page, "tokens")));
	await page.getByText("is on webgpu again").waitFor({ timeout: MINUTES });
	await atLeast(page, before + 150);
	const message = "expected no lane to fail";
	assert.equal(await page.locator(".lane .problem").count(), 0, message);
	await stop(page);
}

/** Greedy, so that two answers begin alike. */
async function chat(page: Page): Promise<void> {
	await page.getByRole("link", { name: "Chat" }).click();
	await page.getByLabel("Policy of the chat").fill("sink:4,rolling:60:turns");
	await page.getByText("Sampler").click();
	await page.getByLabel("temperature").fill("0");
	const answers: string[] = [];
	for (const losing of [false, true]) {
		await ask(page, "Tell me of the sea.");
		await answered(page, 30);
		if (losing) await lose(page);
		await answered(page, 100);
		await page.getByRole("button", { name: "Stop" }).click();
		await page.getByRole("button", { name: "Send" }).waitFor({ timeout: MINUTES });
		assert.equal(await page.locator(".problem").count(), 0);
		answers.push((await answer(page).textContent())?.slice(0, 100) ?? "");
		await page.getByRole("button", { name: "Start anew" }).click();
	}
	assert.equal(answers[1], answers[0]);
}

const answer = (page: Page): Locator => page.locator(".turn p").nth(1);

async function answered(page: Page, characters: number): Promise<void> {
	await page.waitForFunction(
		(least) => (document.querySelectorAll(".turn p")[1]?.textContent ?? "").length > least,
		characters,
		{ timeout: 2 * MINUTES },
	);
}

async function remember(page: Page): Promise<void> {
	await page.getByRole("link", { name: "Remember" }).click();
	await page.getByLabel(/^tokens between/).selectOption("400");
	await page.getByRole("button", { name: "Ask" }).click();
	await page.getByRole("status").filter({ hasText: "GPU" }).getByRole("button").click();
	await page.waitForFunction(() => figures("archived").some((each) => each > 100));
	await lose(page);
	await page.getByRole("button", { name: "Ask" }).waitFor({ timeout: 3 * MINUTES });
	assert.equal(await page.locator(".problem").count(), 0);
	for (const answer of await page.locator(".answer").allInnerTexts()) assert.notEqual(answer, "–");
}

async function againAndAgain(page: Page, files: readonly string[]): Promise<void> {
	await loadFiles(page, files, "webgpu");
	await begin(page, "Endless");
	await atLeast(page, 32);
	for (const last of [false, false, true]) {
		const devices = await deviceCount(page);
		await loseDevice(page);
		while (!last && (await deviceCount(page)) === devices) await page.waitForTimeout(200);
	}
	await page.getByText("is on wasm again").waitFor({ timeout: MINUTES });
	await loaded(page, "wasm", "exact");
	await atLeast(page, Math.max(...(await figuresOf(page, "tokens"))) + 100);
	assert.equal(await page.locator(".lane .problem").count(), 0);
	await stop(page);
}
