/**
 * OLMo 2 (arXiv 2501.00656): norms after attention and MLP, none before; norms over whole queries and keys. OLMo 3
 * adds windows on three layers of four, where the rotation is not scaled; GGUF files call it olmo2.
 */
import type { Architecture } from "./architecture.ts";
import { rope, windows, withRopeOfWindows } from "./layers.ts";

export const olmo2: Architecture = {
	name: "olmo2",
	aliases: ["olmo3"],
	gguf: { name: "olmo2", pairing: "half" },
	norms: { afterAttention: "post_attention_layernorm", afterMlp: "post_feedforward_layernorm" },
	layers: (config) => {
		const { scaling: _, ...unscaled } = rope(config);
		const hasWindows = config.optionalCount("sliding_window") !== undefined;
		return withRopeOfWindows(
			windows(config, (layer) => hasWindows && (layer + 1) % 4 !== 0),
			rope(config),
			unscaled,
		);
	},
};
