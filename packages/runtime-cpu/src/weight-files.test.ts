/** Large weights go through files, which are gone once the graph is loaded; without a folder for them, through memory. */
import { mkdirSync, mkdtempSync, readdirSync, rmSync, utimesSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { GraphFile, Tensor } from "@tok/runtime";
import { product } from "@tok/runtime/conformance";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { cpu } from "./cpu.ts";
import { writeWeights } from "./weight-files.ts";

let folder: string;

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "tok-test-"));
	vi.stubEnv("TMPDIR", folder);
});

afterEach(() => {
	vi.unstubAllEnvs();
	rmSync(folder, { recursive: true, force: true });
});

const WIDTH = 32;

/** y = x · weight, every element of which is 2; beside it a megabyte that no node reads. */
function graphFile(): GraphFile {
	const weight = floats([WIDTH, WIDTH], 2);
	const { model, weights = [] } = product(weight);
	return { model, weights: [...weights, { path: "weights/other", data: new Uint8Array(2 ** 20) }] };
}

function floats(dims: readonly number[], value: number): Tensor<"float32"> {
	const length = dims.reduce((count, dim) => count * dim, 1);
	return { dtype: "float32", dims, data: new Float32Array(length).fill(value) };
}

/** onnxruntime has files of its own there. */
function left(): string[] {
	return readdirSync(folder).filter((name) => name.startsWith("tok-"));
}

/** Loads the graph, finds the folder empty, and runs it over ones. */
async function outcome(file: GraphFile): Promise<number[]> {
	await using runtime = cpu({ threads: 1 });
	const session = await runtime.loadGraph(file);
	expect(left()).toEqual([]);
	const { y } = await session.run({ x: floats([1, WIDTH], 1) });
	return Array.from(y?.data as Float32Array);
}

const expected = new Array<number>(WIDTH).fill(2 * WIDTH);

test("a graph computes with weights whose files are gone", async () => {
	expect(await outcome(graphFile())).toEqual(expected);
});

test("where no file can be written, weights go through memory", async () => {
	vi.stubEnv("TMPDIR", join(folder, "none"));
	expect(await outcome(graphFile())).toEqual(expected);
});

test("a graph that is refused leaves no files either", async () => {
	await using runtime = cpu({ threads: 1 });
	const { weights = [] } = graphFile();
	await expect(runtime.loadGraph({ model: new Uint8Array([1, 2, 3]), weights })).rejects.toThrow(/refusal/);
	expect(left()).toEqual([]);
});

test("what a killed load has left is removed after an hour, and nothing else", () => {
	const hourAgo = Date.now() / 1000 - 3700;
	for (const name of ["tok-weights-old", "tok-weights-new", "other-old"]) {
		mkdirSync(join(folder, name));
		writeFileSync(join(folder, name, "w"), "w");
		if (name.endsWith("old")) utimesSync(join(folder, name), hourAgo, hourAgo);
	}
	writeWeights([{ path: "w", data: new Uint8Array(2 ** 20) }])?.remove();
	expect(readdirSync(folder).sort()).toEqual(["other-old", "tok-weights-new"]);
});

test("small weights write nothing, and files end with remove", () => {
	expect(writeWeights([{ path: "weights/w", data: new Uint8Array(1000) }])).toBeUndefined();
	const files = writeWeights([{ path: "weights/a/w", data: new Uint8Array(2 ** 20) }]);
	expect(readdirSync(files?.folder ?? "", { recursive: true })).toContain(join("weights", "a", "w"));
	files?.remove();
	expect(left()).toEqual([]);
});
