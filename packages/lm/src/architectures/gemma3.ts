/**
 * Gemma 3, text (arXiv 2503.19786): norms on both sides of attention and MLP, scaled embeddings, and local layers
 * with a window and a rotation of their own between the global ones.
 */
import type { Architecture } from "./architecture.ts";
import { rope, windows } from "./layers.ts";

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
		const pattern = config.optionalCount("sliding_window_pattern") ?? 6;
		const { scaling: _, ...globalRope } = rope(config);
		const local = { ...globalRope, base: config.number("rope_local_base_freq", 10_000) };
		return {
			ropes: [rope(config), local],
			layers: windows(config, (layer) => (layer + 1) % pattern !== 0).map((kind) => ({
				...kind,
				rope: kind.window === undefined ? 0 : 1,
			})),
		};
	},
};
