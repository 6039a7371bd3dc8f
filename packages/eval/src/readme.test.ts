/** Runs the README's example on the real model; each `console.log` must print what the comment behind it says. */
import { readFileSync } from "node:fs";
import { gunzipSync } from "node:zlib";
import * as kvCache from "@tok/kv-cache";
import * as lm from "@tok/lm";
import * as runtimeCpu from "@tok/runtime-cpu";
import { describe, expect, test } from "vitest";
import * as evaluations from "./index.ts";

const root = new URL("../../../", import.meta.url);
const example = /```ts\n(.*?)```/s.exec(readFileSync(new URL("packages/eval/README.md", root), "utf8"))?.[1];
const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;

describe.skipIf(process.env.TOK_MODELS === undefined)("needs smollm2-135m below TOK_MODELS", () => {
	test("the example prints what it says", async () => {
		if (example === undefined) throw new Error("README.md has no ts example");
		const expected = [...example.matchAll(/\/\/ → (.*)/g)].map(([, text]) => text);
		expect(expected.length).toBeGreaterThan(0);
		const book = gunzipSync(readFileSync(new URL("goldens/text/long-eval-a.txt.gz", root))).toString("utf8");
		const modules: Record<string, unknown> = {
			"@tok/eval": evaluations,
			"@tok/kv-cache": kvCache,
			"@tok/lm": lm,
			"@tok/runtime-cpu": runtimeCpu,
			"node:fs/promises": { readFile: async () => book },
		};
		const body = example.replaceAll(/^import (\{.*\}) from (".*");$/gm, "const $1 = modules[$2];");
		const printed: string[] = [];
		const log = (...values: unknown[]) => printed.push(values.join(" "));
		await new AsyncFunction("modules", "console", body)(modules, { log });
		expect(printed).toEqual(expected);
	});
});
