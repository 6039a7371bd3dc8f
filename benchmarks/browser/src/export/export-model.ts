/**
 * Writes what transformers.js loads: config.json, generation_config.json and onnx/model*.onnx with one file of weights
 * beside it.
 */
import { closeSync, mkdirSync, openSync, renameSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import type { BuiltGraph } from "@tok/graph";
import { ModelProtoSchema, StringStringEntryProtoSchema } from "onnx-buf";
import { buildDecoderWithPast } from "./decoder-with-past.ts";
import type { Dtype } from "./products.ts";
import { readSourceModel, type SourceModel } from "./read-weights.ts";

/** transformers.js's names of the files. */
const fileNames: Record<Dtype, string> = { fp32: "model.onnx", q8: "model_quantized.onnx" };

/** @param path Of a GGUF file. @param folder Appears whole, or not at all. */
export async function exportModel(
	path: string,
	folder: string,
	wanted: readonly Dtype[],
	onProgress: (dtype: Dtype) => void = () => {},
): Promise<void> {
	const source = await readSourceModel(path);
	const aside = `${folder}.part`;
	rmSync(aside, { recursive: true, force: true });
	mkdirSync(join(aside, "onnx"), { recursive: true });
	try {
		writeFileSync(join(aside, "config.json"), JSON.stringify(configOf(source)));
		writeFileSync(join(aside, "generation_config.json"), "{}");
		for (const dtype of wanted) {
			onProgress(dtype);
			writeGraph(buildDecoderWithPast(source, dtype), join(aside, "onnx", fileNames[dtype]));
		}
		rmSync(folder, { recursive: true, force: true });
		renameSync(aside, folder);
	} finally {
		rmSync(aside, { recursive: true, force: true });
	}
}

/** As transformers has it; no token ends a text, so that every stream is as long as it is asked to be. */
function configOf({ info, inner, epsilon, ropeTheta }: SourceModel): object {
	return {
		model_type: "llama",
		architectures: ["LlamaForCausalLM"],
		hidden_size: info.hiddenSize,
		intermediate_size: inner,
		num_hidden_layers: info.layers,
		num_attention_heads: info.queryHeads,
		num_key_value_heads: info.kvHeads,
		head_dim: info.headDim,
		vocab_size: info.vocabularySize,
		max_position_embeddings: info.contextLength,
		rms_norm_eps: epsilon,
		rope_theta: ropeTheta,
		"transformers.js_config": { use_external_data_format: true },
	};
}

/** The weights one after another in `<file>_data`, which transformers.js fetches, and their offsets in the graph. */
function writeGraph({ model, weights }: BuiltGraph, path: string): void {
	const proto = fromBinary(ModelProtoSchema, model);
	const location = `${path.replace(/^.*[\\/]/, "")}_data`;
	const offsets = writeWeights(weights, `${path}_data`);
	for (const tensor of proto.graph?.initializer ?? []) {
		const entries = new Map(tensor.externalData.map(({ key, value }) => [key, value]));
		const offset = offsets.get(entries.get("location") ?? "");
		if (offset === undefined) continue;
		const placed = { location, offset: String(offset), length: entries.get("length") as string };
		tensor.externalData = Object.entries(placed).map(([key, value]) =>
			create(StringStringEntryProtoSchema, { key, value }),
		);
	}
	writeFileSync(path, toBinary(ModelProtoSchema, proto));
}

function writeWeights(weights: BuiltGraph["weights"], path: string): ReadonlyMap<string, number> {
	const file = openSync(path, "w");
	try {
		const offsets = new Map<string, number>();
		let offset = 0;
		for (const each of weights) {
			offsets.set(each.path, offset);
			for (let written = 0; written < each.data.byteLength; ) written += writeSync(file, each.data, written);
			offset += each.data.byteLength;
			// Any dtype may be read in place at multiples of 64.
			offset += writeSync(file, new Uint8Array((64 - (offset % 64)) % 64));
		}
		return offsets;
	} finally {
		closeSync(file);
	}
}
