/** What the package shows to the outside: its names, and the example in its README. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as kvCache from "./index.ts";

test("the exported names", () => {
	expect(Object.keys(kvCache).sort()).toMatchInlineSnapshot(`
		[
		  "MASKED",
		  "compressive",
		  "createCache",
		  "dense",
		  "formatPolicy",
		  "freshMask",
		  "fullSlots",
		  "leastRecalled",
		  "memory",
		  "parsePolicy",
		  "recompute",
		  "restoreCache",
		  "rolling",
		  "segmentMask",
		  "sink",
		]
	`);
});

test("the README's example prints what it says", () => {
	const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
	const source = /```js\n(.*?)```/s.exec(readme)?.[1] ?? "";
	const said = [...source.matchAll(/console\.log\(.*\); \/\/ (.*)/g)].map(([, text]) => text);
	const printed: string[] = [];
	const console = {
		log: (...values: unknown[]) => printed.push(values.map((v) => JSON.stringify(v)).join(" ")),
	};
	const [, names = ""] = /import (\{.*\}) from "@tok\/kv-cache";/.exec(source) ?? [];
	const body = source.replace(/import .*/, `const ${names} = kvCache;`);
	new Function("kvCache", "console", body)(kvCache, console);
	expect(said).toHaveLength(8);
	expect(printed).toEqual(said);
});
