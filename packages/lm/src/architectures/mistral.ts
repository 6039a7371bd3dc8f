/** Mistral 7B (arXiv 2310.06825): Llama with a sliding window on every layer. GGUF files call it llama. */
import type { Architecture } from "./architecture.ts";
import { slidingLayers } from "./layers.ts";
import { preNorms } from "./llama.ts";

export const mistral: Architecture = {
	name: "mistral",
	gguf: { name: "mistral", pairing: "interleaved" },
	norms: preNorms,
	layers: slidingLayers,
};
