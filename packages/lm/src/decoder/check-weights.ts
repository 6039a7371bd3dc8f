/**
 * Holds a model's tensors against its configuration before anything is allocated or read: the names that a decoder
 * needs are there, in the shapes that the configuration implies. Experts are checked when the graph is built.
 */
import type { DecoderConfig } from "./decoder-config.ts";
import type { Weights } from "./weights.ts";

/** Throws a TokError that names the first tensor that is missing or has another shape. */
export function checkWeights(config: DecoderConfig, weights: Weights): void {
	const { hiddenSize, vocabularySize, norms } = config;
	weights.check("embed_tokens.weight", [vocabularySize, hiddenSize]);
	weights.check("norm.weight", [hiddenSize]);
	if (weights.has("lm_head.weight")) weights.check("lm_head.weight", [vocabularySize, hiddenSize]);
	for (let layer = 0; layer < config.layers.length; layer++) {
		for (const norm of Object.values(norms)) weights.check(`layers.${layer}.${norm}.weight`, [hiddenSize]);
		checkAttention(`layers.${layer}.self_attn`, config, weights);
		if (config.experts === undefined) checkMlp(`layers.${layer}.mlp`, config, weights);
	}
}

function checkAttention(prefix: string, config: DecoderConfig, weights: Weights): void {
	const { hiddenSize, queryHeads, kvHeads, headDim } = config;
	const query = queryHeads * headDim;
	const kv = kvHeads * headDim;
	if (weights.has(`${prefix}.qkv_proj.weight`))
		weights.check(`${prefix}.qkv_proj.weight`, [query + 2 * kv, hiddenSize]);
	else {
		weights.check(`${prefix}.q_proj.weight`, [query, hiddenSize]);
		weights.check(`${prefix}.k_proj.weight`, [kv, hiddenSize]);
		weights.check(`${prefix}.v_proj.weight`, [kv, hiddenSize]);
	}
	weights.check(`${prefix}.o_proj.weight`, [hiddenSize, query]);
}

/** The inner width is the file's to say. */
function checkMlp(prefix: string, { hiddenSize }: DecoderConfig, weights: Weights): void {
	const separate = weights.has(`${prefix}.gate_proj.weight`);
	const [rows = 0] = weights.info(`${prefix}.${separate ? "gate" : "gate_up"}_proj.weight`).dims;
	const inner = separate ? rows : Math.floor(rows / 2);
	if (separate) {
		weights.check(`${prefix}.gate_proj.weight`, [inner, hiddenSize]);
		weights.check(`${prefix}.up_proj.weight`, [inner, hiddenSize]);
	} else weights.check(`${prefix}.gate_up_proj.weight`, [2 * inner, hiddenSize]);
	weights.check(`${prefix}.down_proj.weight`, [hiddenSize, inner]);
}
