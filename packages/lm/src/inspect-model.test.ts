import { copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parsePolicy } from "@tok/kv-cache";
import { describe, expect, test } from "vitest";
import { inspectModel } from "./inspect-model.ts";
import { loadTokenizer } from "./load-tokenizer.ts";
import { realModelPath, realModelReason } from "./testing/real-model.ts";

const tiny = fileURLToPath(new URL("../../../goldens/lm-tiny/llama", import.meta.url));
const env = {};

test("a folder without a tokenizer: its shape, and why there is no tokenizer", async () => {
	const folder = mkdtempSync(join(tmpdir(), "tok-inspect-"));
	try {
		for (const name of ["config.json", "model.safetensors"])
			copyFileSync(join(tiny, name), join(folder, name));
		const report = await inspectModel(folder, { env, policy: parsePolicy("sink:4,rolling:28") });
		expect(report).toMatchObject({
			format: "transformers",
			architecture: "llama",
			chatTemplate: null,
			tokenizer: null,
		});
		expect(report.tokenizerProblem).toContain("expected a tokenizer.json");
		expect(report.cacheBytesPerToken).toBe(report.layers * 2 * report.kvHeads * report.headDim * 4);
		expect(report.policy).toEqual({
			policy: "sink:4,rolling:28",
			entries: 32,
			bytes: 32 * report.cacheBytesPerToken,
		});
		expect(report.tensors.reduce((sum, { bytes }) => sum + bytes, 0)).toBe(report.parameters * 4);
		await expect(loadTokenizer(folder, { env })).rejects.toThrow(
			"[tok/lm] tokenizer: expected a tokenizer.json",
		);
	} finally {
		rmSync(folder, { recursive: true });
	}
});

test.each([
	["dense", null, null],
	["recompute:256", 0, 0],
])("%s keeps %s entries", async (policy, entries, bytes) => {
	const report = await inspectModel(tiny, { env, policy: parsePolicy(policy) });
	expect(report.policy).toEqual({ policy, entries, bytes });
});

describe.skipIf(realModelPath() === undefined)(`the real model (${realModelReason})`, () => {
	const path = realModelPath() ?? "";

	test("its header, its tokenizer, its template", async () => {
		const report = await inspectModel(path, { env });
		expect(report).toMatchObject({
			format: "gguf",
			architecture: "llama",
			layers: 30,
			hiddenSize: 576,
			queryHeads: 9,
			kvHeads: 3,
			headDim: 64,
			vocabularySize: 49152,
			contextLength: 8192,
			parameters: 134_515_008,
			tokenizer: { vocabularySize: 49152, bos: "<|im_start|>", eos: "<|im_end|>" },
			tokenizerProblem: null,
		});
		expect(report.tensors.map(({ type, count }) => [type, count])).toEqual([
			["Q4_1", 210],
			["Q8_0", 1],
			["F32", 61],
		]);
		expect(report.chatTemplate).toContain("<|im_start|>");
	});

	test("its tokenizer alone", async () => {
		const tokenizer = await loadTokenizer(path, { env });
		expect(tokenizer.decode(tokenizer.encode("Once upon a time"))).toBe("Once upon a time");
	});
});
