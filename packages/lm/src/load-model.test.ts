/** `loadModel` on models that are damaged, that lie, or that tok does not know: clear errors, soon, in little memory. */
import { readFileSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { rolling } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { GgufValue } from "./formats/gguf-values.ts";
import { encodeGguf } from "./formats/gguf-writer.ts";
import type { TensorContent } from "./formats/tensor-content.ts";
import { loadModel } from "./load-model.ts";
import { collect } from "./testing/collect.ts";
import { ggufTensors, ggufValues } from "./testing/tiny-gguf.ts";
import { removeFolder, type TinyModelOptions, tinyModelFolder } from "./testing/tiny-model.ts";

const runtime = cpu({ threads: 1 });
let folder: string;

beforeAll(() => {
	folder = tinyModelFolder();
});

afterAll(async () => {
	removeFolder(folder);
	await runtime.dispose();
});

/** Whatever goes wrong: a TokError, soon, without the memory that the file speaks of. */
async function refusal(path: string): Promise<string> {
	const started = performance.now();
	const { rss } = process.memoryUsage();
	const error = await loadModel(path, { runtime }).then(
		() => expect.fail("the model was loaded"),
		(error: unknown) => error,
	);
	expect(performance.now() - started).toBeLessThan(1000);
	expect(process.memoryUsage().rss - rss).toBeLessThan(200e6);
	expect(TokError.isInstance(error), String((error as Error).stack)).toBe(true);
	expect((error as Error).message).toMatch(/^\[tok\/lm\] /);
	return (error as Error).message;
}

describe("a folder", () => {
	async function refusedFolder(options: TinyModelOptions, change: (folder: string) => void = () => {}) {
		const path = tinyModelFolder(options);
		change(path);
		try {
			return await refusal(path);
		} finally {
			removeFolder(path);
		}
	}

	test.each([
		[{ model_type: "mamba" }, /expected an architecture among llama, .*, got "mamba"/],
		[{ model_type: undefined }, /expected model_type/],
		[{ num_hidden_layers: 1e9 }, /num_hidden_layers: expected at most as many layers as there are tensors/],
		[{ num_hidden_layers: 4 }, /expected the tensor layers\.3\..*, which is missing/],
		[{ num_hidden_layers: 0 }, /num_hidden_layers: expected an integer ≥ 1, got 0/],
		[{ num_hidden_layers: "3" }, /num_hidden_layers: expected an integer ≥ 1, got "3"/],
		[
			{ num_attention_heads: 3, head_dim: null },
			/num_key_value_heads: expected a divisor of the 3 attention heads/,
		],
		[{ num_attention_heads: 6, head_dim: null }, /head_dim: expected an even integer/],
		[{ num_attention_heads: 8 }, /q_proj.*: expected the shape \[128, 64\].* got \[64, 64\]/],
		[{ num_key_value_heads: 1e9, num_attention_heads: 1e9 }, /expected the shape/],
		[{ head_dim: 2 ** 40 }, /headDim: expected an integer up to 65536/],
		[{ hidden_size: 1e12 }, /expected the shape \[160, 1000000000000\]/],
		[{ vocab_size: 1e12 }, /expected the shape \[1000000000000, 64\]/],
		[{ rms_norm_eps: "small" }, /rms_norm_eps: expected a finite number/],
		[{ rope_theta: -1 }, /config\.json: base: expected a finite number above 1/],
		[{ rope_scaling: { rope_type: "spiral" } }, /spiral/],
		[{ rope_scaling: 7 }, /config\.json: rope_scaling: expected an object, got 7/],
		[{ layer_types: ["sliding_attention"] }, /layer_types: expected a list of 3 items/],
	])("config.json with %j", async (config, message) => {
		expect(await refusedFolder({ config })).toMatch(message);
	});

	test.each(["", "[]", "7", "{", "\0\0"])("config.json holding %j", async (text) => {
		const message = await refusedFolder({}, (path) => writeFileSync(join(path, "config.json"), text));
		expect(message).toMatch(/config\.json: expected/);
	});

	test("without a tokenizer", async () => {
		expect(await refusedFolder({ tokenizer: false })).toMatch(/expected a tokenizer\.json in the folder/);
	});

	test("whose tokenizer numbers its tokens absurdly", async () => {
		const message = await refusedFolder({}, (path) => {
			const file = join(path, "tokenizer.json");
			writeFileSync(file, readFileSync(file, "utf8").replace('"Z":61', '"Z":4000000000'));
		});
		expect(message).toMatch(/tokenizer\.json: .*4000000000/);
	});

	test("without weights", async () => {
		expect(await refusedFolder({}, (path) => rmSync(join(path, "model.safetensors")))).toMatch(/safetensors/);
	});

	test("whose weights are cut", async () => {
		for (const length of [0, 7, 8, 100, 3000, 200_000])
			expect(
				await refusedFolder({}, (path) => truncateSync(join(path, "model.safetensors"), length)),
			).toMatch(/model\.safetensors: .*damaged or incomplete/);
	});
});

describe("a GGUF file", () => {
	let path: string;
	let tensors: TensorContent[];
	let values: Map<string, GgufValue>;

	beforeAll(() => {
		path = join(folder, "tiny.gguf");
		tensors = ggufTensors(folder);
	});

	beforeEach(() => {
		values = ggufValues(folder);
	});

	const write = (): void => writeFileSync(path, encodeGguf({ values, tensors }));

	test("that is whole generates", async () => {
		write();
		const model = await loadModel(path, { runtime });
		expect(model.info).toMatchObject({ architecture: "llama", layers: 3, precision: "exact", headDim: 16 });
		const session = model.createSession({ policy: [rolling(16)] });
		const { ids } = await collect(session.generate({ prompt: "ab", maxTokens: 5, ignoreEndOfText: true }));
		expect(ids).toHaveLength(5);
		await model.dispose();
	});

	test.each<[string, GgufValue | undefined, RegExp]>([
		[
			"general.architecture",
			{ type: "string", value: "rwkv" },
			/expected an architecture among .*, got "rwkv"/,
		],
		["general.architecture", undefined, /expected general\.architecture in the metadata/],
		["llama.block_count", { type: "uint32", value: 4e9 }, /num_hidden_layers: expected at most/],
		["llama.block_count", { type: "uint64", value: 2n ** 63n }, /num_hidden_layers/],
		["llama.block_count", { type: "string", value: "3" }, /num_hidden_layers/],
		["llama.embedding_length", { type: "uint32", value: 4e9 }, /expected the shape/],
		["llama.embedding_length", undefined, /hidden_size|head_dim/],
		["llama.attention.head_count", { type: "uint32", value: 0 }, /num_attention_heads/],
		[
			"llama.attention.head_count_kv",
			{ type: "uint32", value: 3 },
			/num_key_value_heads: expected a divisor/,
		],
		["llama.attention.key_length", { type: "uint32", value: 4e9 }, /headDim/],
		["llama.rope.dimension_count", { type: "uint32", value: 4e9 }, /tiny\.gguf: headDim: expected/],
		["llama.attention.layer_norm_rms_epsilon", { type: "float32", value: Number.NaN }, /rms_norm_eps/],
		["tokenizer.ggml.model", undefined, /tokenizer/],
		["tokenizer.ggml.model", { type: "string", value: "wordpiece" }, /tokenizer/],
		["tokenizer.ggml.tokens", undefined, /vocab_size: expected an integer ≥ 1/],
	])("with another %s, case %#", async (key, value, message) => {
		if (value === undefined) values.delete(key);
		else values.set(key, value);
		write();
		expect(await refusal(path)).toMatch(message);
	});

	test("cut anywhere", async () => {
		write();
		const whole = readFileSync(path);
		for (let length = whole.length - 1; length >= 0; length -= 9973) {
			truncateSync(path, length);
			await refusal(path);
		}
	});

	test("with a byte changed anywhere: refused, or a model of some sort", async () => {
		write();
		const whole = readFileSync(path);
		for (let at = 0; at < 9000; at += 23) {
			const bytes = Uint8Array.from(whole);
			bytes[at] = (bytes[at] as number) ^ 0x51;
			writeFileSync(path, bytes);
			await loadModel(path, { runtime }).then(
				(model) => model.dispose(),
				(error) => expect(TokError.isInstance(error), `${at}: ${error.stack}`).toBe(true),
			);
		}
	});

	test("that is a text, a folder without a model, or not there", async () => {
		writeFileSync(path, "no model at all, only a text");
		await refusal(path);
		await refusal(join(folder, "missing.gguf"));
		await refusal(fileURLToPath(new URL(".", import.meta.url)));
	});
});
