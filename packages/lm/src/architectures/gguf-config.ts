/**
 * GGUF metadata in the words of transformers' config.json, and GGUF tensor names for transformers' names, so that
 * the rest of the package knows one vocabulary. Key and tensor names: ggml's GGUF specification and gguf-py.
 */
import type { MetadataValue } from "../formats/tensor-file.ts";
import type { ConfigRecord } from "./config-reader.ts";

type Metadata = ReadonlyMap<string, MetadataValue>;

/** config.json's fields ← keys below the architecture's own prefix. */
const fields: Readonly<Record<string, string>> = {
	num_hidden_layers: "block_count",
	hidden_size: "embedding_length",
	num_attention_heads: "attention.head_count",
	num_key_value_heads: "attention.head_count_kv",
	rms_norm_eps: "attention.layer_norm_rms_epsilon",
	max_position_embeddings: "context_length",
	rope_theta: "rope.freq_base",
	rope_local_base_freq: "rope.freq_base_swa",
	num_local_experts: "expert_count",
	num_experts_per_tok: "expert_used_count",
};

/** The model's configuration as config.json would say it. Values that GGUF does not hold are absent. */
export function configFromGguf(metadata: Metadata, prefix: string): ConfigRecord {
	const key = (name: string): number | undefined => number(metadata.get(`${prefix}.${name}`));
	const tokens = metadata.get("tokenizer.ggml.tokens");
	const headDim =
		key("attention.key_length") ?? Number(key("embedding_length")) / Number(key("attention.head_count"));
	const rotaryDim = key("rope.dimension_count") ?? headDim;
	const pattern = metadata.get(`${prefix}.attention.sliding_window_pattern`);
	return present({
		...Object.fromEntries(Object.entries(fields).map(([field, name]) => [field, key(name)])),
		vocab_size: key("vocab_size") ?? (Array.isArray(tokens) ? tokens.length : 0),
		head_dim: headDim,
		// Half a dimension more, for the product with the head's size is rounded down.
		partial_rotary_factor: rotaryDim === headDim ? undefined : (rotaryDim + 0.5) / headDim,
		// Phi-4 says 0 for none.
		sliding_window: key("attention.sliding_window") || undefined,
		// Every nth layer is a full one, or one boolean per layer.
		sliding_window_pattern: number(pattern),
		layer_types: Array.isArray(pattern)
			? pattern.map((sliding) => (sliding ? "sliding_attention" : "full_attention"))
			: undefined,
		rope_scaling: ropeScaling(metadata, prefix),
	});
}

/** Linear and YaRN scaling. The longrope and llama3 kinds come as factor tensors instead: see `ropeFactors`. */
function ropeScaling(metadata: Metadata, prefix: string): ConfigRecord | undefined {
	const key = (name: string): number | undefined => number(metadata.get(`${prefix}.rope.scaling.${name}`));
	// Older files name no type for a factor.
	const type =
		metadata.get(`${prefix}.rope.scaling.type`) ?? (key("factor") === undefined ? "none" : "linear");
	if (type !== "linear" && type !== "yarn") return undefined;
	return present({
		rope_type: type,
		factor: key("factor"),
		original_max_position_embeddings: key("original_context_length"),
		beta_fast: key("yarn_beta_fast"),
		beta_slow: key("yarn_beta_slow"),
		attention_factor: key("yarn_attn_factor"),
	});
}

function present(fields: ConfigRecord): ConfigRecord {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined));
}

function number(value: MetadataValue | undefined): number | undefined {
	// Some models give one number per layer; tok reads those whose layers agree.
	if (Array.isArray(value) && value.length > 0 && value.every((item) => item === value[0]))
		return number(value[0]);
	if (typeof value === "bigint") return Number(value);
	return typeof value === "number" ? value : undefined;
}

/** GGUF's names for a layer's tensors; the first that the file holds is meant. */
const layerTensors: Readonly<Record<string, readonly string[]>> = {
	input_layernorm: ["attn_norm"],
	// After attention in gemma3, olmo2 and gpt-oss; before the MLP in the others.
	post_attention_layernorm: ["post_attention_norm", "ffn_norm"],
	pre_feedforward_layernorm: ["ffn_norm"],
	post_feedforward_layernorm: ["post_ffw_norm"],
	"self_attn.q_proj": ["attn_q"],
	"self_attn.k_proj": ["attn_k"],
	"self_attn.v_proj": ["attn_v"],
	"self_attn.qkv_proj": ["attn_qkv"],
	"self_attn.o_proj": ["attn_output"],
	"self_attn.q_norm": ["attn_q_norm"],
	"self_attn.k_norm": ["attn_k_norm"],
	"self_attn.sinks": ["attn_sinks.weight"],
	"mlp.gate_proj": ["ffn_gate"],
	"mlp.up_proj": ["ffn_up"],
	"mlp.gate_up_proj": ["ffn_up"],
	"mlp.down_proj": ["ffn_down"],
	"mlp.router": ["ffn_gate_inp"],
	"mlp.experts.gate_proj": ["ffn_gate_exps"],
	"mlp.experts.up_proj": ["ffn_up_exps"],
	"mlp.experts.down_proj": ["ffn_down_exps"],
};

const modelTensors: Readonly<Record<string, string>> = {
	embed_tokens: "token_embd",
	norm: "output_norm",
	lm_head: "output",
};

/** The names under which a GGUF file may hold a tensor of transformers' layout, the likeliest first. */
export function ggufTensorNames(name: string): readonly string[] {
	const match = /^(?:model\.)?(?:layers\.(\d+)\.)?(.+?)(\.weight|\.bias)?$/.exec(name);
	if (match === null) return [];
	const [, layer, stem = "", suffix = ""] = match;
	if (layer === undefined) return stem in modelTensors ? [`${modelTensors[stem]}${suffix}`] : [];
	return (layerTensors[stem] ?? []).map((tensor) => `blk.${layer}.${tensor}${suffix}`);
}
