/** Runs the README's example; it must print what the comments behind it say. */
import { readFileSync } from "node:fs";
import * as runtime from "@tok/runtime";
import { expect, test } from "vitest";
import * as runtimeCpu from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;

test("the example prints what it says", async () => {
	const source = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? "";
	const said = [...source.matchAll(/\/\/ → (.*)/g)].map(([, text]) => text);
	const modules = {
		// The builder is the application's choice, not a dependency of this package.
		"@tok/graph": await import(new URL("../../graph/src/index.ts", import.meta.url).href),
		"@tok/runtime": runtime,
		"@tok/runtime-cpu": runtimeCpu,
	};
	const printed: string[] = [];
	const log = (...values: unknown[]): number => printed.push(values.join(" "));
	const body = source.replace(/^import (\{.*\}) from (".*");$/gm, "const $1 = modules[$2];");
	await new AsyncFunction("modules", "console", body)(modules, { log });
	expect(said).toHaveLength(7);
	expect(printed).toEqual(said);
});
