/** What an application for browsers gets: nothing of Node's, in this package and in those that a browser loads with it. */
import { fileURLToPath } from "node:url";
import { runInNewContext } from "node:vm";
import { gzipSync } from "node:zlib";
import { build } from "esbuild";
import { describe, expect, test } from "vitest";

/** What browsers have and these packages use when they are loaded. */
const globals = { TextDecoder, TextEncoder, URL, Blob, File, WritableStream, setTimeout };

/** A bundle as a browser's script; fails for an import that a browser cannot resolve. */
async function bundle(name: string, entry = "src/index.ts"): Promise<string> {
	const { outputFiles } = await build({
		entryPoints: [fileURLToPath(new URL(`../../../${name}/${entry}`, import.meta.url))],
		bundle: true,
		write: false,
		minify: true,
		format: "iife",
		globalName: "tok",
		platform: "browser",
		conditions: ["@tok/source"],
		logLevel: "silent",
	});
	return outputFiles[0]?.text ?? "";
}

describe.each([
	["rope", undefined],
	["kv-cache", undefined],
	["graph", undefined],
	["graph", "src/blocks/index.ts"],
	["runtime", undefined],
	["eval", undefined],
	["lm", undefined],
])("%s %s", (name, entry) => {
	test("is loaded without anything of Node's", async () => {
		const code = await bundle(name, entry);
		expect(code).not.toMatch(/["']node:|\bBuffer\b|__require/);
		const names: unknown = runInNewContext(`${code};Object.keys(tok)`, { ...globals });
		expect(Array.from(names as string[]).length).toBeGreaterThan(0);
	});
});

test("a page pays less than 115 kB for lm and all that comes with it, minified and gzipped", async () => {
	const { length } = gzipSync(await bundle("lm"));
	expect(length).toBeGreaterThan(80_000);
	expect(length).toBeLessThan(115_000);
});
