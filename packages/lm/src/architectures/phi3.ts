/** Phi-3 (arXiv 2404.14219): Llama with fused projections, longrope, and a sliding window in some sizes. */
import type { Architecture } from "./architecture.ts";
import { slidingLayers } from "./layers.ts";
import { preNorms } from "./llama.ts";

export const phi3: Architecture = {
	name: "phi3",
	gguf: { name: "phi3", pairing: "half" },
	norms: preNorms,
	layers: slidingLayers,
};
