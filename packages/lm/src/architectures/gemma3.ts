/**
 * Gemma 3, text (arXiv 2503.19786): norms on both sides of attention and MLP, scaled embeddings, and local layers
 * with a window and a rotation of their own between the global ones.
 */
import { ropeOptionsFromConfig } from "@tok/rope";
import type { Architecture } from "./architecture.ts";
import { windows, withRopeOfWindows } from "./layers.ts";

export const gemma3: Architecture = {
	name: "gemma3_text",
	gguf: {
		name: "gemma3",
		pairing: "half",
		// Only the 27B model, with 62 layers, scales by the width per head instead of the head's size.
		defaults: (config) => ({
			query_pre_attn_scalar:
				config.count("num_hidden_layers") === 62
					? config.count("hidden_size") / config.count("num_attention_heads")
					: config.count("head_dim"),
		}),
	},
	defaults: {
		vocab_size: 262_208,
		num_attention_heads: 8,
		num_key_value_heads: 4,
		head_dim: 256,
		max_position_embeddings: 131_072,
		rope_theta: 1_000_000,
	},
	norms: {
		beforeAttention: "input_layernorm",
		afterAttention: "post_attention_layernorm",
		beforeMlp: "pre_feedforward_layernorm",
		afterMlp: "post_feedforward_layernorm",
	},
	normOffset: 1,
	activation: "gelu",
	embeddingScale: (config) => Math.sqrt(config.count("hidden_size")),
	attentionScale: (config) => config.number("query_pre_attn_scalar", 256) ** -0.5,
	layers: (config) => {
		const localBase = config.number("rope_local_base_freq", 10_000);
		return withRopeOfWindows(
			windows(config, (layer) => (layer + 1) % 6 !== 0),
			ropeOptionsFromConfig(config.record, "full_attention"),
			ropeOptionsFromConfig({ ...config.record, rope_local_base_freq: localBase }, "sliding_attention"),
		);
	},
};
