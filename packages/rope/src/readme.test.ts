/** Runs the README's example; each `console.log` must print what the comment behind it says. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as rope from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;

test("the example prints what it says", async () => {
	const source = /```ts\n(.*?)```/s.exec(readme)?.[1];
	if (!source) throw new Error("README.md has no ts example");
	const expected = [...source.matchAll(/\/\/ → (.*)/g)].map(([, text]) => text);
	expect(expected.length).toBeGreaterThan(0);
	const printed: string[] = [];
	const body = source.replace(/^import (\{.*\}) from "@tok\/rope";$/m, "const $1 = rope;");
	await new AsyncFunction("rope", "console", body)(rope, {
		log: (...values: unknown[]) => printed.push(values.join(" ")),
	});
	expect(printed).toEqual(expected);
});
