/** Runs the README's example; each `console.log` must print what the comment behind it says. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as graph from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;

test("the example prints what it says", async () => {
	const source = /```ts\n(.*?)```/s.exec(readme)?.[1];
	if (!source) throw new Error("README.md has no ts example");
	const expected = [...source.matchAll(/\/\/ → (.*)/g)].map(([, text]) => text);
	expect(expected.length).toBeGreaterThan(0);
	const printed: string[] = [];
	const body = source.replace(/^import (\{.*\}) from "@tok\/graph";$/m, "const $1 = exported;");
	await new AsyncFunction("exported", "console", body)(graph, {
		log: (...values: unknown[]) => printed.push(values.join(" ")),
	});
	expect(printed).toEqual(expected);
});

test("its table names every operator", () => {
	const operators = Object.keys(graph).filter(
		(name) => !["GraphBuilder", "GraphError", "float16Bits", "readGraph"].includes(name),
	);
	expect([...readme.matchAll(/`(\w+)`(?=[^|\n]*\|$|[ `\w]*\|)/gm)].map(([, name]) => name).sort()).toEqual(
		operators.sort(),
	);
});
