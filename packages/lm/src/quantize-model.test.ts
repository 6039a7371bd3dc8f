/** Files quantised anew: the same model, the same metadata, other bytes for its matrices. */
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { rolling, sink } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { DecoderEngine } from "./decoder/decoder-engine.ts";
import { DecoderState } from "./decoder/decoder-state.ts";
import { openFileSource } from "./formats/file-source.ts";
import { openGgufDecoder } from "./open-decoder.ts";
import { quantizeModel } from "./quantize-model.ts";
import { convertedGguf } from "./testing/converted-gguf.ts";
import { openGguf, openTensorFile } from "./testing/open-tensor-file.ts";
import { tinyModelFolder } from "./testing/tiny-model.ts";

const goldens = new URL("../../../goldens/", import.meta.url);
let folder: string;
let source: string;

beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), "tok-quantize-"));
	source = join(folder, "model.gguf");
	using model = openTensorFile(new URL("lm-tiny/llama/", goldens).pathname);
	writeFileSync(source, convertedGguf(new URL("gguf-tiny/llama.json", goldens).pathname, model).bytes);
});

afterEach(() => rmSync(folder, { recursive: true }));

/** Logits of the last of some tokens, in float32. */
async function logits(path: string): Promise<Float32Array> {
	await using runtime = cpu({ threads: 1 });
	const { file, ...decoder } = openGgufDecoder(openFileSource(path));
	const engine = new DecoderEngine({ ...decoder, precision: "exact", runtime });
	const state = DecoderState.create(engine, [sink(2), rolling(30)], "in-cache");
	const ids = Array.from({ length: 24 }, (_, i) => (i * 37 + 5) % 160);
	const reading = await state.read(ids, { from: 0, to: 24, chunk: 24, scored: "last" });
	state.dispose();
	await engine.dispose();
	file.close();
	return reading.logits;
}

function distance(a: Float32Array, b: Float32Array): number {
	const norm = (values: Float32Array): number => Math.hypot(...values);
	return norm(a.map((value, i) => value - (b[i] as number))) / norm(a);
}

describe.each([
	["Q8_0", 0.02],
	["Q4_0", 0.3],
] as const)("%s", (type, most) => {
	test("matrices change their type, metadata and vectors stay, and the model says nearly the same", async () => {
		const out = join(folder, "small.gguf");
		const report = await quantizeModel(source, { type, out });
		expect(report).toMatchObject({ path: out, type });
		expect(report.after).toBeLessThan(report.before);
		using before = openGguf(source);
		using after = openGguf(out);
		expect([...after.tensors.keys()]).toEqual([...before.tensors.keys()]);
		expect(after.values.get("general.file_type")).toEqual({ type: "uint32", value: type === "Q4_0" ? 2 : 7 });
		for (const [key, value] of before.values)
			if (key !== "general.file_type") expect(after.values.get(key)).toEqual(value);
		for (const { name, dims, type: stored } of before.tensors.values()) {
			const table = name === "token_embd.weight" || name === "output.weight";
			// Rows of whole blocks alone: the tiny model's inner width is none.
			const stays = dims.length < 2 || (dims.at(-1) as number) % 32 > 0;
			expect(after.tensors.get(name)?.type, name).toBe(stays ? stored : table ? "Q8_0" : type);
			if (dims.length < 2) expect(after.readBytes(name)).toEqual(before.readBytes(name));
		}
		const error = distance(await logits(source), await logits(out));
		expect(error).toBeGreaterThan(0);
		expect(error).toBeLessThan(most);
	});
});

describe("what goes wrong leaves nothing behind", () => {
	const untouched = (): void => expect(readdirSync(folder)).toEqual(["model.gguf"]);

	test("a folder in transformers' layout", async () => {
		const tiny = tinyModelFolder();
		const attempt = quantizeModel(tiny, { type: "Q8_0", out: join(folder, "out.gguf") });
		await expect(attempt).rejects.toThrow(/^\[tok\/lm\] .*expected a GGUF file to quantise/);
		rmSync(tiny, { recursive: true });
		untouched();
	});

	test("a place that cannot be written", async () => {
		const attempt = quantizeModel(source, { type: "Q8_0", out: join(folder, "none", "out.gguf") });
		await expect(attempt).rejects.toThrow(/could not be written/);
		untouched();
	});

	test("a signal, in the middle of it", async () => {
		const controller = new AbortController();
		const reason = new Error("enough");
		const attempt = quantizeModel(source, {
			type: "Q8_0",
			out: join(folder, "out.gguf"),
			signal: controller.signal,
			onProgress: ({ loaded }) => {
				if (loaded === 3) controller.abort(reason);
			},
		});
		await expect(attempt).rejects.toBe(reason);
		untouched();
	});

	test("the model's own path may be written over", async () => {
		await quantizeModel(source, { type: "Q8_0", out: source });
		untouched();
		using file = openGguf(source);
		expect(file.tensors.get("blk.0.attn_q.weight")?.type).toBe("Q8_0");
		expect(existsSync(source)).toBe(true);
	});
});
