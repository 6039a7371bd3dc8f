/** Models from Blobs and Files: what is loaded by path, without paths. */
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { rolling, sink } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { inspectModel } from "./inspect-model.ts";
import { loadModel } from "./load-model.ts";
import { loadTokenizer } from "./load-tokenizer.ts";
import type { ModelSource } from "./model-files.ts";
import { quantizeModel } from "./quantize-model.ts";
import { collector } from "./testing/collector.ts";
import { openGguf } from "./testing/open-tensor-file.ts";
import { tinyGguf } from "./testing/tiny-gguf.ts";
import { removeFolder, tinyModelFolder } from "./testing/tiny-model.ts";

const runtime = cpu({ threads: 1 });
let folder: string;
let gguf: string;

beforeAll(() => {
	folder = tinyModelFolder();
	gguf = join(tinyModelFolder(), "tiny.gguf");
	writeFileSync(gguf, tinyGguf(folder));
});

afterAll(async () => {
	removeFolder(folder);
	removeFolder(join(gguf, ".."));
	await runtime.dispose();
});

/** What a page gets when its user chooses a folder; `at` is the path within it. */
function chosen(content: Uint8Array<ArrayBuffer> | string, at: string, lastModified = 0): File {
	const file = new File([content], at.split("/").at(-1) ?? "", { lastModified });
	return Object.defineProperty(file, "webkitRelativePath", { value: at.includes("/") ? at : "" });
}

function filesOf(path: string): File[] {
	return readdirSync(path).map((name) => chosen(Uint8Array.from(readFileSync(join(path, name))), name));
}

async function likelihoods(source: ModelSource): Promise<Float32Array> {
	const model = await loadModel(source, { runtime });
	const ids = Array.from({ length: 40 }, (_, i) => (i * 37 + 5) % 160);
	const values = await model.negativeLogLikelihoods(ids, { policy: [sink(2), rolling(14)] });
	await model.dispose();
	return values;
}

describe("the same numbers as by path", () => {
	test("a GGUF file as a Blob, as a File, and alone among Files", async () => {
		const expected = await likelihoods(gguf);
		const bytes = Uint8Array.from(readFileSync(gguf));
		expect(await likelihoods(new Blob([bytes]))).toEqual(expected);
		expect(await likelihoods(new File([bytes], "any name"))).toEqual(expected);
		expect(await likelihoods([chosen(bytes, "a.gguf"), chosen("# A model", "README.md")])).toEqual(expected);
	});

	test("a folder as Files, by name and by their paths within it, in any order", async () => {
		const expected = await likelihoods(folder);
		const files = filesOf(folder);
		expect(await likelihoods(files)).toEqual(expected);
		const deeper = await Promise.all(
			files.map(async (file) => chosen(await file.bytes(), `my-model/${file.name}`)),
		);
		const others = [
			chosen("{}", "my-model/onnx/config.json"),
			chosen("x", "my-model/onnx/model.safetensors"),
		];
		expect(await likelihoods([...others, ...deeper.reverse()])).toEqual(expected);
		const model = await loadModel(deeper, { runtime });
		expect(model.info.name).toBe("my-model");
		await model.dispose();
	});

	test("inspectModel, loadTokenizer and quantizeModel take them too", async () => {
		const file = chosen(Uint8Array.from(readFileSync(gguf)), "tiny.gguf");
		const { name: _, path, ...report } = await inspectModel(gguf);
		expect(await inspectModel(file)).toMatchObject({ ...report, name: "tiny.gguf", path: "tiny.gguf" });
		expect((await loadTokenizer(file)).encode("ab")).toEqual((await loadTokenizer(path)).encode("ab"));
		const out = join(folder, "small.gguf");
		await quantizeModel(gguf, { type: "Q8_0", out });
		const { stream, bytes } = collector();
		const quantised = await quantizeModel(file, { type: "Q8_0", out: stream });
		expect(quantised.path).toBeUndefined();
		expect(Buffer.compare(bytes(), readFileSync(out))).toBe(0);
		using written = openGguf(out);
		expect(written.tensors.get("blk.0.attn_q.weight")?.type).toBe("Q8_0");
	});
});

describe("refused, with the file's name", () => {
	test.each<[string, () => unknown, RegExp]>([
		["no file", () => [], /expected a name, a path or a URL.* got an array of something else/],
		["a Blob among Files", () => [new Blob(["x"])], /got an array of something else/],
		["a buffer", () => new Uint8Array(4), /got object/],
		["nothing", () => undefined, /got undefined/],
		["a text", () => chosen("text", "note.txt"), /note\.txt: expected a GGUF file.*got 74 65 78 74/],
		["an empty Blob", () => new Blob([]), /Blob: .*damaged or incomplete/],
		["a config.json alone", () => [chosen("{}", "config.json")], /config\.json without \*\.safetensors/],
		["two models", () => [chosen("", "a.gguf"), chosen("", "b.gguf")], /found 2 \.gguf files/],
		[
			"a folder with a damaged configuration",
			() => [chosen("{", "m/config.json"), chosen("", "m/model.safetensors")],
			/m\/config\.json: expected a readable config\.json/,
		],
		[
			"a folder with other weights",
			() => [chosen('{"model_type":"llama"}', "m/config.json"), chosen("", "m/x.safetensors")],
			/m: expected model\.safetensors\.index\.json or model\.safetensors/,
		],
	])("%s", async (_, source, message) => {
		const loading = loadModel(source() as ModelSource, { runtime });
		await expect(loading).rejects.toThrow(message);
		await expect(loading).rejects.toThrow(/^\[tok\/lm\] /);
	});
});
