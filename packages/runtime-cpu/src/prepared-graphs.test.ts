/** R26: graphs that are kept on disk are loaded whole and unaltered, or made anew; and never stand in the way. */
import { createHash } from "node:crypto";
import {
	chmodSync,
	existsSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	statSync,
	truncateSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GraphFile } from "@tok/runtime";
import { product } from "@tok/runtime/conformance";
import { afterEach, beforeEach, expect, test } from "vitest";
import { cpu } from "./cpu.ts";
import { PreparedGraphs } from "./prepared-graphs.ts";

const WIDTH = 32;
const DAY = 86_400;

let parent: string;
let folder: string;

beforeEach(() => {
	parent = mkdtempSync(join(tmpdir(), "tok-test-"));
	folder = join(parent, "deep", "prepared");
});

afterEach(() => rmSync(parent, { recursive: true, force: true }));

/** y = x · weight, every element of which is `value`. */
function graphFile(value: number): GraphFile {
	const data = new Float32Array(WIDTH * WIDTH).fill(value);
	return product({ dtype: "float32", dims: [WIDTH, WIDTH], data });
}

interface Outcome {
	/** The first element of ones · weight, over their number: the weight's value. */
	readonly value: number;
	/** Whether the graph was made. */
	readonly made: boolean;
}

/** Loads under a key in a runtime of its own, as another process would. */
async function load(key: string, value: number, prepared = folder): Promise<Outcome> {
	await using runtime = cpu({ threads: 1, prepared });
	let made = false;
	const make = (): GraphFile => {
		made = true;
		return graphFile(value);
	};
	const session = await runtime.loadGraph(make, { key });
	const x = { dtype: "float32", dims: [1, WIDTH], data: new Float32Array(WIDTH).fill(1 / WIDTH) } as const;
	const { y } = await session.run({ x });
	return { value: Number(y?.data[0]), made };
}

/** The one graph that is kept. */
function kept(): string {
	const names = readdirSync(folder);
	expect(names).toHaveLength(1);
	return join(folder, names[0] as string);
}

function filesOf(graph: string): string[] {
	return readdirSync(graph, { recursive: true, encoding: "utf8" })
		.map((name) => join(graph, name))
		.filter((path) => statSync(path).isFile());
}

test("under a key that is known the function is not called; under another it is", async () => {
	expect(await load("a", 1)).toEqual({ value: 1, made: true });
	expect(await load("a", 2)).toEqual({ value: 1, made: false });
	expect(await load("b", 2)).toEqual({ value: 2, made: true });
	expect(await load("a", 2)).toEqual({ value: 1, made: false });
	expect(readdirSync(folder)).toHaveLength(2);
});

test("without a key or a folder nothing is kept", async () => {
	await using runtime = cpu({ threads: 1, prepared: folder });
	await runtime.loadGraph(() => graphFile(1));
	await runtime.loadGraph(graphFile(1));
	await using plain = cpu({ threads: 1 });
	await plain.loadGraph(() => graphFile(1), { key: "a" });
	expect(existsSync(folder)).toBe(false);
});

test("whichever file is cut, longer, altered or lost, the graph is made anew", async () => {
	await load("a", 1);
	const files = filesOf(kept());
	expect(files).toHaveLength(3);
	const damages: ((path: string) => void)[] = [
		(path) => truncateSync(path, statSync(path).size - 1),
		(path) => truncateSync(path, 0),
		(path) => writeFileSync(path, "x", { flag: "a" }),
		(path) => {
			const bytes = readFileSync(path);
			const middle = bytes.length >> 1;
			bytes[middle] = (bytes[middle] ?? 0) ^ 1;
			writeFileSync(path, bytes);
		},
		(path) => rmSync(path),
	];
	let value = 1;
	for (const path of files)
		for (const damage of damages) {
			damage(path);
			value++;
			expect(await load("a", value)).toEqual({ value, made: true });
			expect(await load("a", 0)).toEqual({ value, made: false });
		}
	expect(filesOf(kept())).toEqual(files);
});

test("a manifest of another key, or that is no manifest, is not believed", async () => {
	await load("a", 1);
	const manifest = join(kept(), "manifest.json");
	const { files } = JSON.parse(readFileSync(manifest, "utf8"));
	for (const text of [
		"null",
		"[]",
		"{}",
		JSON.stringify({ key: "b", files }),
		JSON.stringify({ key: "a", files: [] }),
	]) {
		writeFileSync(manifest, text);
		expect(await load("a", 3)).toEqual({ value: 3, made: true });
	}
});

test("a graph that is kept whole and yet refused is made anew", async () => {
	const graphs = new PreparedGraphs(folder);
	graphs.keep("a", { model: new Uint8Array([1, 2, 3]) });
	expect(graphs.find("a")).toBeDefined();
	expect(await load("a", 1)).toEqual({ value: 1, made: true });
	expect(await load("a", 2)).toEqual({ value: 1, made: false });
});

test("a graph that onnxruntime refuses is an error, and is not kept", async () => {
	await using runtime = cpu({ threads: 1, prepared: folder });
	const loading = runtime.loadGraph(() => ({ model: new Uint8Array([1, 2, 3]) }), { key: "a" });
	await expect(loading).rejects.toThrow(/refusal/);
	expect(readdirSync(folder)).toEqual([]);
});

test("two loads at once both get their graph, and leave one", async () => {
	const outcomes = await Promise.all([load("a", 1), load("a", 1), load("a", 1)]);
	expect(outcomes.map(({ value }) => value)).toEqual([1, 1, 1]);
	kept();
	expect(await load("a", 2)).toEqual({ value: 1, made: false });
});

test("of two that write the same graph the later one takes the earlier one's", () => {
	const [first, second] = [new PreparedGraphs(folder), new PreparedGraphs(folder)];
	const before = first.keep("a", graphFile(1));
	expect(second.keep("a", graphFile(1))).toEqual(before);
	kept();
});

test("where nothing can be written, graphs are loaded all the same", async () => {
	writeFileSync(join(parent, "file"), "");
	const inFile = join(parent, "file", "prepared");
	expect(await load("a", 1, inFile)).toEqual({ value: 1, made: true });
	expect(await load("a", 2, inFile)).toEqual({ value: 2, made: true });
});

const writesAnywhere = process.getuid?.() === 0 || process.platform === "win32";
test.skipIf(writesAnywhere)(
	`from a folder that is read-only graphs are found, and none are written${writesAnywhere ? " (skipped: this user writes to any)" : ""}`,
	async () => {
		await load("a", 1);
		chmodSync(folder, 0o555);
		expect(await load("a", 2)).toEqual({ value: 1, made: false });
		expect(await load("b", 2)).toEqual({ value: 2, made: true });
		expect(readdirSync(folder)).toHaveLength(1);
		chmodSync(folder, 0o755);
	},
);

test("a graph goes on computing when what is kept is removed", async () => {
	await load("a", 3);
	await using runtime = cpu({ threads: 1, prepared: folder });
	const session = await runtime.loadGraph(() => graphFile(0), { key: "a" });
	new PreparedGraphs(folder).remove("a");
	expect(readdirSync(folder)).toEqual([]);
	const x = { dtype: "float32", dims: [1, WIDTH], data: new Float32Array(WIDTH).fill(1) } as const;
	const { y } = await session.run({ x });
	expect(y?.data[0]).toBe(3 * WIDTH);
});

test("abandoned drafts and long unused graphs go when another is written, and nothing else", async () => {
	await load("old", 1);
	const old = kept();
	await load("used", 1);
	for (const name of ["draft-old", "draft-new", "other"]) mkdirSync(join(folder, name));
	const now = Date.now() / 1000;
	utimesSync(join(folder, "draft-old"), now - 3700, now - 3700);
	for (const graph of [old, join(folder, "other")]) writeFileSync(join(graph, "note"), "");
	utimesSync(join(old, "manifest.json"), now - 31 * DAY, now - 31 * DAY);
	await load("new", 1);
	const names = readdirSync(folder);
	expect(names).toContain("draft-new");
	expect(names).toContain("other");
	expect(names).not.toContain("draft-old");
	expect(existsSync(old)).toBe(false);
	expect(names).toHaveLength(4);
});

test("a graph that is found counts as used", async () => {
	await load("a", 1);
	const manifest = join(kept(), "manifest.json");
	const before = Date.now() / 1000 - 29 * DAY;
	utimesSync(manifest, before, before);
	await load("a", 1);
	expect(Date.now() - statSync(manifest).mtimeMs).toBeLessThan(60_000);
});

test("beyond 4 GiB those that were used last stay", async () => {
	const now = Date.now() / 1000;
	for (const [index, key] of ["a", "b", "c"].entries()) {
		await load(key, index);
		const manifest = join(folder, digestOf(key), "manifest.json");
		const { files } = JSON.parse(readFileSync(manifest, "utf8"));
		writeFileSync(manifest, JSON.stringify({ key, files: [...files, ["large", 1.5 * 2 ** 30, 0]] }));
		utimesSync(manifest, now - 10 + index, now - 10 + index);
	}
	expect(readdirSync(folder)).toHaveLength(3);
	await load("d", 1);
	expect(readdirSync(folder).sort()).toEqual(["b", "c", "d"].map(digestOf).sort());
});

function digestOf(key: string): string {
	return createHash("sha256").update(key).digest("hex").slice(0, 40);
}
