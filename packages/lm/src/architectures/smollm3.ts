/** SmolLM3: Llama whose every fourth layer does not rotate (NoPE, arXiv 2501.18795). */
import type { Architecture } from "./architecture.ts";
import { rope, windows } from "./layers.ts";
import { preNorms } from "./llama.ts";

const isBit = (item: unknown): item is number => item === 0 || item === 1;

export const smollm3: Architecture = {
	name: "smollm3",
	gguf: { name: "smollm3", pairing: "interleaved" },
	norms: preNorms,
	layers: (config) => {
		const interval = config.optionalCount("no_rope_layer_interval") ?? 4;
		// Despite its name, the list holds 1 where a layer rotates.
		const rotates = config.perLayer("no_rope_layers", config.count("num_hidden_layers"), isBit);
		return {
			ropes: [rope(config)],
			layers: windows(config).map((kind, layer) =>
				(rotates === undefined ? (layer + 1) % interval !== 0 : rotates[layer] === 1)
					? { ...kind, rope: 0 }
					: kind,
			),
		};
	},
};
