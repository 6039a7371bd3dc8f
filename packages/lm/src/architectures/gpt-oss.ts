/**
 * gpt-oss (arXiv 2508.10925): a mixture of experts, windows on every other layer, and a learned sink per head: a
 * logit that joins each softmax and whose weight is dropped.
 */
import type { RopeOptions } from "@tok/rope";
import type { Architecture } from "./architecture.ts";
import { rope, windows } from "./layers.ts";
import { preNorms } from "./llama.ts";

export const gptOss: Architecture = {
	name: "gpt_oss",
	gguf: { name: "gpt-oss", pairing: "half" },
	norms: preNorms,
	experts: (config) => ({
		count: config.count("num_local_experts"),
		active: config.count("num_experts_per_tok"),
	}),
	layers: (config) => ({
		ropes: [untruncated(rope(config))],
		layers: windows(config, (layer) => layer % 2 === 0).map((kind) => ({ ...kind, rope: 0 })),
	}),
};

/** Every gpt-oss says `truncate: false`, but for GGUF files, which have no word for it. */
function untruncated(options: RopeOptions): RopeOptions {
	const { scaling } = options;
	if (scaling?.type !== "yarn") return options;
	return { ...options, scaling: { truncate: false, ...scaling } };
}
