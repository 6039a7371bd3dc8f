/** Llama (arXiv 2302.13971) and everything that copies its layout, SmolLM2 among it. */
import type { Architecture } from "./architecture.ts";

export const preNorms = {
	beforeAttention: "input_layernorm",
	beforeMlp: "post_attention_layernorm",
} as const;

export const llama: Architecture = {
	name: "llama",
	gguf: { name: "llama", pairing: "interleaved" },
	norms: preNorms,
};
