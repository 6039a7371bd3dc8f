/** OLMo 2 (arXiv 2501.00656): norms after attention and MLP, none before; norms over whole queries and keys. */
import type { Architecture } from "./architecture.ts";

export const olmo2: Architecture = {
	name: "olmo2",
	gguf: { name: "olmo2", pairing: "half" },
	norms: { afterAttention: "post_attention_layernorm", afterMlp: "post_feedforward_layernorm" },
};
