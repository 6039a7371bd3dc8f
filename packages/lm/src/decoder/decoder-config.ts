/**
 * The shape of a decoder: every number that its graph needs, in one plain object, checked. Made from an
 * architecture and a configuration, whichever file they came from.
 */
import type { RopeOptions } from "@tok/rope";
import type { Architecture, ExpertsConfig, LayerKind, LayerNorms } from "../architectures/architecture.ts";
import type { ConfigReader } from "../architectures/config-reader.ts";
import { uniformLayers } from "../architectures/layers.ts";

export interface DecoderConfig {
	readonly architecture: string;
	readonly hiddenSize: number;
	readonly queryHeads: number;
	readonly kvHeads: number;
	readonly headDim: number;
	readonly vocabularySize: number;
	/** Positions that the model was trained on. */
	readonly contextLength: number | undefined;
	readonly epsilon: number;
	readonly norms: LayerNorms;
	readonly normOffset: number;
	readonly activation: "silu" | "gelu";
	readonly experts: ExpertsConfig | undefined;
	readonly embeddingScale: number;
	readonly attentionScale: number;
	readonly ropes: readonly RopeOptions[];
	readonly layers: readonly LayerKind[];
	/** What config.json says; undefined when it leaves the question to the tensors. */
	readonly tiedEmbeddings: boolean | undefined;
}

export function decoderConfig(architecture: Architecture, config: ConfigReader): DecoderConfig {
	const hiddenSize = config.count("hidden_size");
	const queryHeads = config.count("num_attention_heads");
	const kvHeads = config.optionalCount("num_key_value_heads") ?? queryHeads;
	if (queryHeads % kvHeads !== 0)
		throw config.error("num_key_value_heads", `a divisor of the ${queryHeads} attention heads`, `${kvHeads}`);
	const headDim = config.optionalCount("head_dim") ?? hiddenSize / queryHeads;
	if (!Number.isInteger(headDim) || headDim % 2 !== 0)
		throw config.error("head_dim", "an even integer", `${headDim}`);
	const { ropes, layers } = (architecture.layers ?? uniformLayers)(config);
	return {
		architecture: architecture.name,
		hiddenSize,
		queryHeads,
		kvHeads,
		headDim,
		vocabularySize: config.count("vocab_size"),
		contextLength: config.optionalCount("max_position_embeddings"),
		epsilon: config.number("rms_norm_eps", 1e-6),
		norms: architecture.norms,
		normOffset: architecture.normOffset ?? 0,
		activation: architecture.activation ?? "silu",
		experts: architecture.experts?.(config),
		embeddingScale: architecture.embeddingScale?.(config) ?? 1,
		attentionScale: architecture.attentionScale?.(config) ?? headDim ** -0.5,
		ropes,
		layers,
		tiedEmbeddings: config.flag("tie_word_embeddings"),
	};
}
