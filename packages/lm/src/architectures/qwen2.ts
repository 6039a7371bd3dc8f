/** Qwen2 and Qwen2.5 (arXiv 2407.10671): Llama with biases on query, key and value, and windows on some layers. */
import type { Architecture } from "./architecture.ts";
import type { ConfigReader } from "./config-reader.ts";
import { rope, type uniformLayers, windows } from "./layers.ts";
import { preNorms } from "./llama.ts";

export const qwen2: Architecture = {
	name: "qwen2",
	gguf: { name: "qwen2", pairing: "half" },
	norms: preNorms,
	layers: qwenLayers,
};

/** `sliding_window` counts only with `use_sliding_window`, and then from layer `max_window_layers` on. */
export function qwenLayers(config: ConfigReader): ReturnType<typeof uniformLayers> {
	if (config.flag("use_sliding_window") !== true)
		return {
			ropes: [rope(config)],
			layers: Array.from({ length: config.count("num_hidden_layers") }, () => ({ rope: 0 })),
		};
	const from = config.number("max_window_layers", 0);
	return {
		ropes: [rope(config)],
		layers: windows(config, (layer) => layer >= from).map((window) => ({ ...window, rope: 0 })),
	};
}
