/** What the package shows to the outside: its names, its errors, and the examples in its README. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import * as conformance from "./conformance/index.ts";
import * as runtime from "./index.ts";

const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const examples = [...readme.matchAll(/```ts\n(.*?)```/gs)].map(([, source = ""]) => source);
const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;

/** Runs an example with its imports taken from `modules`. */
function play(source: string, modules: Readonly<Record<string, object>>, log = (..._: unknown[]) => {}) {
	const body = source.replace(/^import (\{.*\}) from (".*");$/gm, "const $1 = modules[$2];");
	return new AsyncFunction("modules", "console", body)(modules, { log });
}

test("the exported names", () => {
	expect(Object.keys(runtime).sort()).toEqual([
		"TokError",
		"freeArray",
		"headCount",
		"kvDiskSlotBytes",
		"kvNames",
		"kvParts",
		"kvSlotBytes",
		"largestCode",
	]);
	expect(Object.keys(conformance).sort()).toEqual([
		"conformance",
		"echo",
		"freshRows",
		"mirror",
		"product",
		"seen",
		"sums",
		"totals",
	]);
});

test("an array that is freed has no elements, nor have views of it", () => {
	const array = new Float32Array(8);
	const view = array.subarray(2, 4);
	runtime.freeArray(array);
	expect([array.length, view.length, array.buffer.byteLength]).toEqual([0, 0, 0]);
	runtime.freeArray(array);
	const ofWasm = new Uint8Array(new WebAssembly.Memory({ initial: 1 }).buffer);
	runtime.freeArray(ofWasm);
	expect(ofWasm).toHaveLength(65_536);
});

test("an error carries its package and its cause, and is told from other values", () => {
	const cause = new Error("why");
	const error = new runtime.TokError("lm", "expected …", { cause });
	expect(error).toMatchObject({ name: "TokError", source: "lm", message: "[tok/lm] expected …", cause });
	expect(error).toBeInstanceOf(Error);
	const foreign = Object.assign(new Error("of another copy"), { [Symbol.for("tok.error")]: true });
	for (const own of [error, foreign]) expect(runtime.TokError.isInstance(own)).toBe(true);
	for (const other of [null, undefined, "tok.error", cause, { source: "lm" }])
		expect(runtime.TokError.isInstance(other)).toBe(false);
});

test("the README's first example prints what it says", async () => {
	const [source = ""] = examples;
	const said = [...source.matchAll(/\/\/ → (.*)/g)].map(([, text]) => text);
	const printed: string[] = [];
	await play(source, { "@tok/runtime": runtime }, (...values) => printed.push(values.join(" ")));
	expect(said).toHaveLength(2);
	expect(printed).toEqual(said);
});

test("the README's second example registers every case, which runs the runtime it is given", async () => {
	const registered = new Map<string, () => Promise<void>>();
	const unavailable = new Error("no runtime here");
	await play(examples[1] ?? "", {
		"node:test": { test: (title: string, body: () => Promise<void>) => registered.set(title, body) },
		"@tok/runtime/conformance": conformance,
		"./my-runtime.ts": {
			myRuntime: () => {
				throw unavailable;
			},
		},
	});
	expect(registered.size).toBe(conformance.conformance.length);
	for (const body of registered.values()) await expect(body()).rejects.toBe(unavailable);
});

test("every rule of SPEC.md has a case, and every case a rule and an id of its own", () => {
	const spec = readFileSync(new URL("../SPEC.md", import.meta.url), "utf8");
	const rules = [...spec.matchAll(/^- \*\*(R\d+)\*\*/gm)].map(([, id]) => id);
	const ids = conformance.conformance.map(({ id }) => id);
	expect(rules.length).toBeGreaterThan(0);
	expect(new Set(ids.map((id) => id.replace(/[a-z]$/, "")))).toEqual(new Set(rules));
	expect(new Set(ids).size).toBe(ids.length);
});
