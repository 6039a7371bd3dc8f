/** Every architecture against transformers' logits, on the backends of browsers; and what a step costs the GPU. */
import { GraphBuilder } from "@tok/graph";
import { embedding, type LinearWeight, linear } from "@tok/graph/blocks";
import { parsePolicy } from "@tok/kv-cache";
import type { Runtime } from "@tok/runtime";
import { type WebGpuRuntime, webgpu } from "@tok/runtime-webgpu";
import { wasm } from "@tok/runtime-webgpu/wasm";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { TokenAttention } from "../model.ts";
import { openTransformersDecoder } from "../open-decoder.ts";
import { goldenFolder, goldenFolders, goldenLogitsOf } from "../testing/browser-goldens.ts";
import { meanError, readLogits, worstError } from "../testing/golden-logits.ts";
import { DecoderEngine } from "./decoder-engine.ts";
import { DecoderState } from "./decoder-state.ts";

/** What onnxruntime says. It takes hold of the console's methods once, when it is first used. */
const consoleLines: string[] = [];
for (const method of ["log", "info", "warn", "error", "debug"] as const) {
	const say = console[method].bind(console);
	console[method] = (...words: unknown[]) => {
		const line = words.join(" ");
		if (/onnxruntime|^\s/.test(line)) consoleLines.push(line);
		else say(...words);
	};
}

const folders = goldenFolders.filter((folder) => !folder.endsWith("/llama-dynamic"));
const LLAMA = "lm-tiny/llama";

async function engineOf(
	folder: string,
	runtime: Runtime,
	precision: "exact" | "fast" = "exact",
	layers?: number,
): Promise<DecoderEngine> {
	const { file: _, ...decoder } = openTransformersDecoder(await goldenFolder(folder));
	const { config } = decoder;
	const cut = layers === undefined ? config : { ...config, layers: config.layers.slice(0, layers) };
	return new DecoderEngine({ ...decoder, config: cut, precision, runtime });
}

describe.each([
	["webgpu", webgpu],
	["wasm", wasm],
] as const)("%s", (name, create) => {
	let runtime: Runtime;
	beforeAll(async () => {
		runtime = await create();
	});
	afterAll(() => runtime.dispose());

	test.each(folders)("logits of %s equal transformers'", async (folder) => {
		const engine = await engineOf(folder, runtime);
		const golden = await goldenLogitsOf(folder);
		// A browser's test of every length takes minutes on a GPU in software: one that ends with a shorter chunk.
		expect(await worstError(engine, golden, { chunk: 40 })).toBeLessThanOrEqual(1);
		await engine.dispose();
	});

	test("token by token over a window that wraps, as in chunks", async () => {
		const engine = await engineOf(LLAMA, runtime);
		const [stream = []] = (await goldenLogitsOf(LLAMA)).streams;
		const policy = parsePolicy("sink:4,rolling:12");
		const read = (chunk: number): Promise<Float32Array> =>
			readLogits(DecoderState.create(engine, policy, "in-cache"), stream, { chunk, tokens: 40 });
		const [single, whole] = [await read(1), await read(9)];
		expect(farthest(single, whole)).toBeLessThan(1e-5);
		await engine.dispose();
	});

	test.each([
		"sink:4,memory:32/2x4,rolling:12",
		// A choice of one token that others go on with.
		"sink:4,memory:32/2x4/4,rolling:12",
		// Its attention is counted in the graph.
		"sink:4,compressive:6/3/most-used,rolling:12",
	])("%s is the same as on the other backend", async (policy) => {
		const other = await (name === "webgpu" ? wasm() : webgpu());
		const [stream = []] = (await goldenLogitsOf(LLAMA)).streams;
		const read = async (on: Runtime, chunk: number): Promise<Float32Array> => {
			const engine = await engineOf(LLAMA, on);
			const state = DecoderState.create(engine, parsePolicy(policy), "in-cache");
			const logits = await readLogits(state, stream, { chunk, tokens: 60 });
			await engine.dispose();
			return logits;
		};
		for (const chunk of [7, 1])
			expect(farthest(await read(runtime, chunk), await read(other, chunk))).toBeLessThan(1e-5);
		await other.dispose();
	});

	test("attention, told by the graph, is the same as on the other backend, and whole", async () => {
		const other = await (name === "webgpu" ? wasm() : webgpu());
		const [stream = []] = (await goldenLogitsOf(LLAMA)).streams;
		const policy = parsePolicy("sink:4,memory:32/2x4,rolling:12");
		const tell = async (on: Runtime): Promise<TokenAttention> => {
			const engine = await engineOf(LLAMA, on);
			const state = DecoderState.create(engine, policy, "in-cache", true);
			for (let from = 0; from < 40; ) {
				const { take } = await state.read(stream, { from, to: 40, chunk: 7, scored: "all" });
				from += take;
			}
			const told = state.tokenAttention() as TokenAttention;
			await engine.dispose();
			return told;
		};
		const [told, twin] = [await tell(runtime), await tell(other)];
		expect(told.entries).toEqual(twin.entries);
		expect(farthest(told.weights, twin.weights)).toBeLessThan(1e-5);
		expect(farthest(told.recalled, twin.recalled)).toBeLessThan(1e-5);
		const all = [...told.weights, ...told.recalled].reduce((sum, weight) => sum + weight, 0);
		expect(all / (told.layers * told.heads)).toBeCloseTo(1, 5);
		await other.dispose();
	});

	test.each([4, 8] as const)(
		"products with and rows of %i-bit weights are those of their numbers",
		async (bits) => {
			const [rows, width, out, blockSize] = [3, 64, 8, 32];
			const blocks = width / blockSize;
			const bytes = (blockSize * bits) / 8;
			const codes = Uint8Array.from({ length: out * blocks * bytes }, (_, i) => (i * 37) % 256);
			// As those of Q4_0, of either sign.
			const scales = Float32Array.from({ length: out * blocks }, (_, i) => (-1) ** i * (0.01 + i / 1000));
			const graph = new GraphBuilder("blocks");
			const weight: LinearWeight = {
				kind: "blocks",
				bits,
				blockSize,
				codes: graph.constant("codes", { dtype: "uint8", dims: [out, blocks, bytes], data: codes }),
				scales: graph.constant("scales", { dtype: "float32", dims: [out, blocks], data: scales }),
				terms: 0,
			};
			graph.output(linear(graph.input("x", "float32", ["rows", width]), weight), "products");
			graph.output(embedding(graph.input("ids", "int64", [1, "rows"]), weight), "rows");
			const x = Float32Array.from({ length: rows * width }, (_, i) => Math.sin(i));
			const ids = BigInt64Array.of(5n, 0n, 7n);
			const session = await runtime.loadGraph(graph.build());
			const outputs = await session.run({
				x: { dtype: "float32", dims: [rows, width], data: x },
				ids: { dtype: "int64", dims: [1, rows], data: ids },
			});
			const weightAt = (row: number, k: number): number => {
				const at = row * width + k;
				const byte = codes[Math.floor((at * bits) / 8)] as number;
				const code = bits === 8 ? byte - 128 : ((byte >> (4 * (at % 2))) & 15) - 8;
				return code * (scales[Math.floor(at / blockSize)] as number);
			};
			const products = Float32Array.from({ length: rows * out }, (_, i) => {
				const [row, column] = [Math.floor(i / out), i % out];
				let sum = 0;
				for (let k = 0; k < width; k++) sum += weightAt(column, k) * (x[row * width + k] as number);
				return sum;
			});
			const looked = Float32Array.from({ length: rows * width }, (_, i) =>
				weightAt(Number(ids[Math.floor(i / width)]), i % width),
			);
			expect(outputs.products?.data).toHaveLength(rows * out);
			expect(farthest(outputs.products?.data as Float32Array, products)).toBeLessThan(1e-4);
			expect(outputs.rows?.data).toHaveLength(rows * width);
			expect(farthest(outputs.rows?.data as Float32Array, looked)).toBeLessThan(1e-6);
		},
	);

	test("fast: exact where weights are taken apart, else as near as weights of 8 bits are", async () => {
		const golden = await goldenLogitsOf(LLAMA);
		const engine = await engineOf(LLAMA, runtime, "fast");
		const worst = await worstError(engine, golden, { chunk: 40 });
		if (runtime.blockProducts === undefined) expect(worst).toBeLessThanOrEqual(1);
		// 0.0096, in half precision and without.
		else expect(await meanError(engine, golden, { chunk: 40 })).toBeLessThan(0.01);
		await engine.dispose();
	});
});

function farthest(a: Float32Array, b: Float32Array): number {
	return a.reduce((most, x, i) => Math.max(most, Math.abs(x - (b[i] as number))), 0);
}

describe("where nodes of the decoder's graph run", () => {
	test("on the GPU, but for shapes", async () => {
		const left = new Map<string, string[]>();
		for (const precision of ["exact", "fast"] as const)
			for (const policy of [
				"sink:4,rolling:12",
				"sink:4,memory:32/2x4,rolling:12",
				"sink:4,memory:32/2x4/4,rolling:12",
				"sink:4,compressive:6/3/most-used,rolling:12",
			])
				left.set(`${precision}, ${policy}`, await leftToProcessor(policy, precision));
		for (const [graph, ops] of left) {
			expect(ops.length, graph).toBeGreaterThan(0);
			expect(
				ops.filter((op) => !["Shape", "Reshape", "Concat"].includes(op)),
				graph,
			).toEqual([]);
		}
	});
});

/** The operators of a model's graph that are left to the processor, and copies to and from it, as onnxruntime tells. */
async function leftToProcessor(policy: string, precision: "exact" | "fast"): Promise<string[]> {
	const lines = consoleLines;
	lines.length = 0;
	await using runtime = await webgpu({ verbose: true });
	const engine = await engineOf(LLAMA, runtime, precision);
	await engine.graph(engine.segments(parsePolicy(policy)));
	const placements = lines.slice(lines.findIndex((line) => line.includes("Node placements")));
	const ofProcessor = placements.findIndex((line) => line.includes("placed on [CPUExecutionProvider]"));
	const ofGpu = placements.findIndex((line) => line.includes("placed on [WebGpuExecutionProvider]"));
	expect(ofGpu).toBeGreaterThan(ofProcessor);
	const opsOf = (some: readonly string[]): string[] =>
		some.flatMap((line) => /VerifyEachNodeIsAssignedToAnEp\]\s+(\w+) \(/.exec(line)?.[1] ?? []);
	const copies = opsOf(placements.slice(ofGpu)).filter((op) => op.startsWith("Memcpy"));
	return [...opsOf(placements.slice(ofProcessor, ofGpu)), ...copies];
}

describe("a step on the GPU", () => {
	let runtime: WebGpuRuntime;
	/** Buffers and bind groups that were made, whoever made them. */
	let made = 0;
	let dispatched = 0;

	beforeEach(async () => {
		const { createBuffer, createBindGroup } = GPUDevice.prototype;
		vi.spyOn(GPUDevice.prototype, "createBuffer").mockImplementation(function (this: GPUDevice, descriptor) {
			made++;
			return createBuffer.call(this, descriptor);
		});
		vi.spyOn(GPUDevice.prototype, "createBindGroup").mockImplementation(function (
			this: GPUDevice,
			descriptor,
		) {
			made++;
			return createBindGroup.call(this, descriptor);
		});
		const { dispatchWorkgroups } = GPUComputePassEncoder.prototype;
		vi.spyOn(GPUComputePassEncoder.prototype, "dispatchWorkgroups").mockImplementation(function (
			this: GPUComputePassEncoder,
			...workgroups
		) {
			dispatched++;
			return dispatchWorkgroups.apply(this, workgroups);
		});
		runtime = await webgpu();
	});
	afterEach(async () => {
		await runtime.dispose();
		vi.restoreAllMocks();
	});

	test.each(["sink:4,rolling:12", "sink:4,memory:32/2x4,rolling:12"])(
		"under %s makes no buffer and no bind group",
		async (policy) => {
			const engine = await engineOf(LLAMA, runtime);
			const state = DecoderState.create(engine, parsePolicy(policy), "in-cache");
			// Ends before an archive of these tokens needs its second 128 slots.
			const stream = Array.from({ length: 140 }, (_, i) => 3 + ((i * 7) % 90));
			const step = (from: number): Promise<unknown> =>
				state.read(stream, { from, to: from + 1, chunk: 1, scored: "last" });
			for (let from = 0; from < 60; from++) await step(from);
			expect(made).toBeGreaterThan(0);
			made = 0;
			for (let from = 60; from < stream.length; from++) await step(from);
			expect(made).toBe(0);
			state.dispose();
			await engine.dispose();
		},
	);

	// With the move into slots. Commands, not arithmetic, are what a step takes: a number that grows is a slower step.
	test.each([
		["exact", 29],
		["fast", 29],
	] as const)("%s takes %i dispatches a layer", async (precision, expected) => {
		const ofStep = async (layers: number): Promise<number> => {
			const engine = await engineOf(LLAMA, runtime, precision, layers);
			const state = DecoderState.create(engine, parsePolicy("sink:4,rolling:12"), "in-cache");
			await state.read([3, 4, 5, 6, 7, 8], { from: 0, to: 5, chunk: 5, scored: "last" });
			dispatched = 0;
			await state.read([9], { from: 0, to: 1, chunk: 1, scored: "last" });
			state.dispose();
			await engine.dispose();
			return dispatched;
		};
		expect((await ofStep(3)) - (await ofStep(2))).toBe(expected);
	});

	test("is an error that says so once the device is lost", async () => {
		const engine = await engineOf(LLAMA, runtime);
		const state = DecoderState.create(engine, parsePolicy("sink:4,rolling:12"), "in-cache");
		const read = (): Promise<unknown> => state.read([3, 4, 5], { from: 0, to: 3, chunk: 3, scored: "last" });
		await read();
		runtime.loseDevice();
		expect(typeof (await runtime.lost)).toBe("string");
		await expect(read()).rejects.toThrow("[tok/runtime-webgpu] expected a GPU that works");
	});
});
