/**
 * What tells one decoder architecture from another. All of them are one decoder (`decoder/decoder.ts`); an
 * architecture is a small file of names and differences. What the tensors themselves tell (biases, fused
 * projections, query/key norms, learned sinks, tied embeddings) is read from the file and is not written here.
 */
import type { Pairing, RopeOptions } from "@tok/rope";
import type { ConfigReader, ConfigRecord } from "./config-reader.ts";

/** Names of a layer's norms in transformers' layout; one that is absent is not applied. */
export interface LayerNorms {
	readonly beforeAttention?: string;
	/** Applied to the attention's output, before it joins the residual. */
	readonly afterAttention?: string;
	readonly beforeMlp?: string;
	/** Applied to the MLP's output, before it joins the residual. */
	readonly afterMlp?: string;
}

export interface Architecture {
	/** transformers' `model_type`. */
	readonly name: string;
	/** Other `model_type`s of the same decoder. */
	readonly aliases?: readonly string[];
	readonly gguf: {
		/** `general.architecture`. */
		readonly name: string;
		/** llama.cpp's converters permute the query and key rows of some architectures into interleaved pairs. */
		readonly pairing: Pairing;
		/** Fields that these files leave to the reader, in config.json's words. */
		readonly defaults?: (config: ConfigReader) => ConfigRecord;
	};
	/** What transformers supplies where a published config.json leaves it out. */
	readonly defaults?: ConfigRecord;
	readonly norms: LayerNorms;
	/** Added to a norm's weight: gemma stores w − 1. GGUF files have it added already. Defaults to 0. */
	readonly normOffset?: number;
	/** Of the gated MLP. Defaults to "silu". */
	readonly activation?: "silu" | "gelu";
	/** A mixture of experts in place of the MLP. */
	readonly experts?: (config: ConfigReader) => ExpertsConfig;
	/** Multiplies the embeddings. Defaults to 1. */
	readonly embeddingScale?: (config: ConfigReader) => number;
	/** Multiplies query · key. Defaults to 1/√headDim. */
	readonly attentionScale?: (config: ConfigReader) => number;
	/** Window and rotation of each layer. Defaults to `uniformLayers`: one rotation, a window by `layer_types`. */
	readonly layers?: (config: ConfigReader) => LayerKinds;
}

export interface ExpertsConfig {
	readonly count: number;
	/** Experts that each token is sent to. */
	readonly active: number;
}

export interface LayerKinds {
	/** Rotations that layers choose from. */
	readonly ropes: readonly RopeOptions[];
	readonly layers: readonly LayerKind[];
}

export interface LayerKind {
	/** The layer's own sliding window: a query sees keys at a distance below it. Absent: all that the policy shows. */
	readonly window?: number;
	/** Index into `ropes`. Absent: the layer does not rotate (NoPE). */
	readonly rope?: number;
}
