/** Experts from each layout: the same numbers, and errors that name the tensor. Logits: see the golden tests. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { dense } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { diskFolder, openFileSource } from "../formats/file-source.ts";
import { encodeSafetensors } from "../formats/safetensors-writer.ts";
import type { TensorContent } from "../formats/tensor-content.ts";
import { type OpenDecoder, openGgufDecoder, openTransformersDecoder } from "../open-decoder.ts";
import { convertedGguf } from "../testing/converted-gguf.ts";
import { readGoldenLogits, readLogits } from "../testing/golden-logits.ts";
import { openTensorFile } from "../testing/open-tensor-file.ts";
import { DecoderEngine } from "./decoder-engine.ts";
import { DecoderState } from "./decoder-state.ts";
import { readExperts } from "./expert-tensors.ts";
import { ggufNames, transformersNames, Weights } from "./weights.ts";

const goldens = fileURLToPath(new URL("../../../../goldens/", import.meta.url));
const published = join(goldens, "lm-tiny-extra", "gpt-oss-mxfp4");
const prefix = "layers.1.mlp.experts";
const shape = { count: 4, hiddenSize: 64 };

let folder: string;
let ggufPath: string;
beforeAll(() => {
	folder = mkdtempSync(join(tmpdir(), "tok-experts-"));
	ggufPath = join(folder, "model.gguf");
	using file = openTensorFile(published);
	writeFileSync(ggufPath, convertedGguf(join(goldens, "gguf-tiny", "gpt-oss-mxfp4.json"), file).bytes);
});
afterAll(() => rmSync(folder, { recursive: true }));

/** The published model's tensors, each as it is or as `edit` makes it; undefined leaves one out. */
function edited(
	name: string,
	edit: (tensor: TensorContent) => readonly TensorContent[],
): { readonly weights: Weights; readonly path: string } {
	const path = join(folder, name);
	using file = openTensorFile(join(published, "model.safetensors"));
	const tensors = [...file.tensors.values()].flatMap(({ name, type, dims }) =>
		edit({ name, type, dims, data: file.readBytes(name) }),
	);
	writeFileSync(path, encodeSafetensors({ tensors }));
	return { weights: new Weights(openTensorFile(path), transformersNames), path };
}

function bytes(values: Float32Array): Uint8Array {
	return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

test("MXFP4 checkpoints, GGUF files and float checkpoints of one model give the same matrices", () => {
	using file = openTensorFile(published);
	const fromBlocks = readExperts(new Weights(file, transformersNames), prefix, shape);
	expect(fromBlocks.inner).toBe(96);
	expect(fromBlocks.gate.weight).toHaveLength(4 * 64 * 96);

	using gguf = openTensorFile(ggufPath);
	expect(readExperts(new Weights(gguf, ggufNames), prefix, shape)).toEqual(fromBlocks);

	const { gate, up, down } = fromBlocks;
	const gateUp = Float32Array.from({ length: 2 * gate.weight.length }, (_, i) =>
		Number((i % 2 === 0 ? gate : up).weight[i >> 1]),
	);
	const { weights } = edited("float.safetensors", (tensor) => {
		if (tensor.name === `model.${prefix}.gate_up_proj_blocks`)
			return [{ name: `model.${prefix}.gate_up_proj`, type: "F32", dims: [4, 64, 192], data: bytes(gateUp) }];
		if (tensor.name === `model.${prefix}.down_proj_blocks`)
			return [
				{ name: `model.${prefix}.down_proj`, type: "F32", dims: [4, 96, 64], data: bytes(down.weight) },
			];
		return tensor.name.endsWith("_scales") ? [] : [tensor];
	});
	expect(readExperts(weights, prefix, shape)).toEqual(fromBlocks);
	weights.file.close();
});

describe("a tensor that is missing or of another shape is an error that names it", () => {
	const scales = `model.${prefix}.down_proj_scales`;

	test("missing", () => {
		const { weights, path } = edited("missing.safetensors", (tensor) =>
			tensor.name === scales ? [] : [tensor],
		);
		expect(() => readExperts(weights, prefix, shape)).toThrow(
			`[tok/lm] ${path}: expected the tensor ${prefix}.down_proj_scales, which is missing`,
		);
		weights.file.close();
	});

	test("of another shape", () => {
		const { weights } = edited("shape.safetensors", (tensor) =>
			tensor.name === scales ? [{ ...tensor, dims: [4, 64 * 3, 1] }] : [tensor],
		);
		expect(() => readExperts(weights, prefix, shape)).toThrow(
			`${scales}: expected the shape [4, 64, 3] that the configuration implies, got [4, 192, 1]`,
		);
		weights.file.close();
	});

	test("more experts than the file has", () => {
		using file = openTensorFile(published);
		expect(() => readExperts(new Weights(file, transformersNames), prefix, { ...shape, count: 5 })).toThrow(
			"gate_up_proj_blocks: expected the shape [5, 192, 2, 16] that the configuration implies, got [4, 192, 2, 16]",
		);
	});
});

test("fast precision: one model's checkpoint and its GGUF file give the same logits, close to the exact ones", async () => {
	await using runtime = cpu({ threads: 1 });
	const golden = readGoldenLogits(openTensorFile(join(published, "io.safetensors")));
	const stream = golden.streams[0] as readonly number[];
	const read = async (decoder: OpenDecoder): Promise<Float32Array> => {
		const engine = new DecoderEngine({ ...decoder, precision: "fast", runtime });
		const state = DecoderState.create(engine, [dense()], "in-cache");
		const logits = await readLogits(state, stream, { chunk: 16, tokens: stream.length });
		await engine.dispose();
		decoder.file.close();
		return logits;
	};
	const fromBlocks = await read(openTransformersDecoder(diskFolder(published)));
	expect(await read(openGgufDecoder(openFileSource(ggufPath)))).toEqual(fromBlocks);
	const errors = fromBlocks.map((logit, i) => Math.abs(logit - Number(golden.logits[i])));
	// The logits' standard deviation is 4.
	expect(errors.reduce((a, b) => a + b, 0) / errors.length).toBeLessThan(0.2);
});
