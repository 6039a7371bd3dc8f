/** Qwen3 (arXiv 2505.09388): Qwen2 without biases, with RMS norms on each head's query and key. */
import type { Architecture } from "./architecture.ts";
import { preNorms } from "./llama.ts";
import { qwenLayers } from "./qwen2.ts";

export const qwen3: Architecture = {
	name: "qwen3",
	gguf: { name: "qwen3", pairing: "half" },
	norms: preNorms,
	layers: qwenLayers,
};
