/** Models on a runtime that keeps their graphs: what comes out is bit for bit what came out without. */
import {
	copyFileSync,
	mkdirSync,
	mkdtempSync,
	readdirSync,
	readFileSync,
	rmSync,
	writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Policy, parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { loadModel } from "./load-model.ts";
import type { Precision } from "./model.ts";
import { goldenTokens } from "./testing/real-goldens.ts";
import { fetchedModelPath } from "./testing/real-model.ts";
import { removeFolder, tinyModelFolder } from "./testing/tiny-model.ts";

const policy = parsePolicy("sink:2,rolling:14");
const ids = Array.from({ length: 40 }, (_, index) => 3 + ((index * 37) % 150));

let parent: string;
let prepared: string;
let model: string;

beforeEach(() => {
	parent = mkdtempSync(join(tmpdir(), "tok-prepared-"));
	prepared = join(parent, "prepared");
	model = tinyModelFolder();
});

afterEach(() => {
	rmSync(parent, { recursive: true, force: true });
	removeFolder(model);
});

interface Scored {
	readonly path?: string;
	readonly precision?: Precision;
	readonly policy?: Policy;
	readonly ids?: ArrayLike<number>;
	/** Defaults to the folder of the test. */
	readonly folder?: string | undefined;
}

interface Outcome {
	readonly likelihoods: Float32Array;
	/** Graphs that were built. */
	readonly built: number;
}

/** Scores tokens with a model and a runtime of their own, as another process would. */
async function score(options: Scored = {}): Promise<Outcome> {
	const { path = model, precision = "fast", folder = "folder" in options ? undefined : prepared } = options;
	await using runtime = cpu({ threads: 1, ...(folder !== undefined && { prepared: folder }) });
	const loadGraph = runtime.loadGraph.bind(runtime);
	let built = 0;
	runtime.loadGraph = (file, given) =>
		loadGraph(() => {
			built++;
			return typeof file === "function" ? file() : file;
		}, given);
	await using loaded = await loadModel(path, { runtime, precision });
	const likelihoods = await loaded.negativeLogLikelihoods(options.ids ?? ids, {
		policy: options.policy ?? policy,
		chunk: 7,
	});
	return { likelihoods, built };
}

const graphs = (): number => readdirSync(prepared).length;

test("the second load builds nothing and computes the same numbers", async () => {
	const without = await score({ folder: undefined });
	const first = await score();
	const second = await score();
	expect([without.built, first.built, second.built]).toEqual([1, 1, 0]);
	expect(first.likelihoods).toEqual(without.likelihoods);
	expect(second.likelihoods).toEqual(without.likelihoods);
});

test("a copy is another file, and has its own graph", async () => {
	await score();
	const copy = join(parent, "copy");
	mkdirSync(copy);
	for (const name of readdirSync(model)) copyFileSync(join(model, name), join(copy, name));
	expect((await score({ path: copy })).built).toBe(1);
	expect((await score({ path: copy })).built).toBe(0);
});

test("another number of segments is another graph; other slots and positions are not", async () => {
	await score();
	expect((await score({ policy: parsePolicy("sink:4,rolling:5") })).built).toBe(0);
	expect((await score({ policy: parsePolicy("rolling:9") })).built).toBe(1);
	expect(graphs()).toBe(2);
});

test("graphs in exact are not kept, and never taken for those in fast", async () => {
	const exact = await score({ precision: "exact", folder: undefined });
	await score();
	expect(await score({ precision: "exact" })).toEqual(exact);
	expect(graphs()).toBe(1);
});

test("a changed weight, wherever it lies, is another graph", async () => {
	const before = await score();
	const path = join(model, "model.safetensors");
	const bytes = readFileSync(path);
	const start = 8 + Number(bytes.readBigUInt64LE(0));
	// Signs of float32 numbers.
	for (let at = start + 403; at < bytes.length; at += 4000) bytes[at] = (bytes[at] ?? 0) ^ 0x80;
	writeFileSync(path, bytes);
	const after = await score();
	expect(after.built).toBe(1);
	expect(after.likelihoods).not.toEqual(before.likelihoods);
	expect(after.likelihoods).toEqual((await score({ folder: undefined })).likelihoods);
	expect(graphs()).toBe(2);
});

test("a changed configuration is another graph", async () => {
	await score();
	const path = join(model, "config.json");
	const config = JSON.parse(readFileSync(path, "utf8"));
	writeFileSync(path, JSON.stringify({ ...config, rms_norm_eps: 0.01 }));
	const { built, likelihoods } = await score();
	expect(built).toBe(1);
	expect(likelihoods).toEqual((await score({ folder: undefined })).likelihoods);
});

test("what is damaged is built again, and then kept", async () => {
	const { likelihoods } = await score();
	const [graph = ""] = readdirSync(prepared);
	const files = readdirSync(join(prepared, graph), { recursive: true, encoding: "utf8" });
	const weight = files.find((name) => name.endsWith("mlp.down")) ?? "";
	const path = join(prepared, graph, weight);
	const bytes = readFileSync(path);
	bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] ?? 0) ^ 0xff;
	writeFileSync(path, bytes);
	expect(await score()).toEqual({ likelihoods, built: 1 });
	expect(await score()).toEqual({ likelihoods, built: 0 });
});

const { path: real, reason } = await fetchedModelPath();

describe.skipIf(real === undefined)(
	real === undefined ? `the real model (skipped: ${reason})` : "the real model",
	() => {
		test("computes the same numbers from a kept graph", async () => {
			const options = {
				path: real as string,
				policy: parsePolicy("sink:4,rolling:60"),
				ids: goldenTokens().subarray(0, 160),
			};
			const without = await score({ ...options, folder: undefined });
			const first = await score(options);
			const second = await score(options);
			expect([first.built, second.built]).toEqual([1, 0]);
			expect(first.likelihoods).toEqual(without.likelihoods);
			expect(second.likelihoods).toEqual(without.likelihoods);
		}, 120_000);
	},
);
