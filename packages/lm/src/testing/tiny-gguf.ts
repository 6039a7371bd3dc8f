/** The tiny model (`tiny-model.ts`) as a GGUF file: for tests that need a whole model in one file. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { GgufValue } from "../formats/gguf-values.ts";
import { encodeGguf } from "../formats/gguf-writer.ts";
import type { TensorContent } from "../formats/tensor-content.ts";
import { openTensorFile } from "./open-tensor-file.ts";
import { tinyConfig } from "./tiny-model.ts";

/** The bytes of the model that `tinyModelFolder` has made. */
export function tinyGguf(folder: string): Uint8Array<ArrayBuffer> {
	return encodeGguf({ values: ggufValues(folder), tensors: ggufTensors(folder) });
}

/** The tiny model's tensors under GGUF's names, its rows as they are: only a shape matters here. */
export function ggufTensors(folder: string): TensorContent[] {
	using file = openTensorFile(folder);
	const parts: Record<string, string> = {
		"self_attn.q_proj": "attn_q",
		"self_attn.k_proj": "attn_k",
		"self_attn.v_proj": "attn_v",
		"self_attn.o_proj": "attn_output",
		"mlp.gate_proj": "ffn_gate",
		"mlp.up_proj": "ffn_up",
		"mlp.down_proj": "ffn_down",
		input_layernorm: "attn_norm",
		post_attention_layernorm: "ffn_norm",
		"model.embed_tokens": "token_embd",
		"model.norm": "output_norm",
		lm_head: "output",
	};
	return [...file.tensors.values()].map(({ name, dims }) => {
		const [, layer, stem = ""] = /^(?:model\.layers\.(\d+)\.)?(.*)\.weight$/.exec(name) ?? [];
		const prefix = layer === undefined ? "" : `blk.${layer}.`;
		return { name: `${prefix}${parts[stem]}.weight`, type: "F32", dims, data: file.readBytes(name) };
	});
}

/** Its configuration and its tokenizer, as GGUF has them. */
export function ggufValues(folder: string): Map<string, GgufValue> {
	const integers = {
		"llama.block_count": tinyConfig.num_hidden_layers,
		"llama.embedding_length": tinyConfig.hidden_size,
		"llama.attention.head_count": tinyConfig.num_attention_heads,
		"llama.attention.head_count_kv": tinyConfig.num_key_value_heads,
		"llama.attention.key_length": tinyConfig.head_dim,
		"llama.rope.dimension_count": tinyConfig.head_dim,
		"tokenizer.ggml.eos_token_id": 2,
	} as Record<string, number>;
	const { model } = JSON.parse(readFileSync(join(folder, "tokenizer.json"), "utf8"));
	const tokens = Object.keys(model.vocab);
	return new Map<string, GgufValue>([
		["general.architecture", { type: "string", value: "llama" }],
		...Object.entries(integers).map(([key, value]): [string, GgufValue] => [key, { type: "uint32", value }]),
		["llama.attention.layer_norm_rms_epsilon", { type: "float32", value: 1e-6 }],
		["tokenizer.ggml.model", { type: "string", value: "gpt2" }],
		["tokenizer.ggml.pre", { type: "string", value: "gpt-2" }],
		["tokenizer.ggml.tokens", { type: "array", of: "string", value: tokens }],
		[
			"tokenizer.ggml.token_type",
			{ type: "array", of: "int32", value: tokens.map((_, id) => (id < 3 ? 3 : 1)) },
		],
		["tokenizer.ggml.merges", { type: "array", of: "string", value: [] }],
	]);
}
