/**
 * Rotary options from a model's `config.json` as transformers writes it: `rope_theta` and `rope_scaling` beside each
 * other (up to version 4), or both inside `rope_parameters`, there possibly one record per layer type (version 5).
 */
import { unexpected } from "./rope-error.ts";
import { ropeFrequencies } from "./rope-frequencies.ts";
import type { RopeOptions } from "./rope-options.ts";

type Fields = Readonly<Record<string, unknown>>;

/**
 * Options that `ropeFrequencies` accepts. `sequenceLength` is left to the caller.
 *
 * Width of a head: `qk_rope_head_dim` (DeepSeek), else `head_dim`, else `hidden_size` / `num_attention_heads`.
 *
 * @param config the parsed file; of a multimodal model, its `text_config`.
 * @param layerType which layers are meant where they differ ("full_attention", "sliding_attention", as in
 * `layer_types`). With Gemma 3's older layout, "sliding_attention" means `rope_local_base_freq` without scaling.
 * @throws RopeError for an unknown rope type, missing or wrong numbers, or a layer type that must be named and is not.
 */
export function ropeOptionsFromConfig(config: Fields, layerType?: string): RopeOptions {
	const fields = layerFields(config, layerType);
	const options = present({
		headDim:
			config.qk_rope_head_dim ??
			config.head_dim ??
			Math.floor(Number(config.hidden_size) / Number(config.num_attention_heads)),
		base: fields.rope_theta ?? config.rope_theta,
		partialRotaryFactor: fields.partial_rotary_factor ?? config.partial_rotary_factor,
		maxPositions: config.max_position_embeddings,
		scaling: scalingOf(fields, config),
	}) as unknown as RopeOptions;
	ropeFrequencies(options);
	return options;
}

/** The record that holds the rope type, and in version 5 everything else, of one layer type. */
function layerFields(config: Fields, layerType: string | undefined): Fields {
	const fields = config.rope_parameters ?? config.rope_scaling ?? {};
	if (!isRecord(fields)) throw unexpected("rope_scaling", "an object", fields);
	const layerTypes = Object.keys(fields).filter((key) => isRecord(fields[key]));
	const own = fields[layerType ?? ""];
	if (isRecord(own)) return own;
	if (layerTypes.length) throw unexpected("layerType", layerTypes.join(" or "), layerType, "Name one.");
	const local = layerType === "sliding_attention" && config.rope_local_base_freq;
	return local ? { rope_theta: local } : fields;
}

function scalingOf(fields: Fields, config: Fields): Fields | undefined {
	const type = fields.rope_type ?? fields.type;
	// A factor without a type is a scaling all the same; taking it for none would give a wrong model.
	if (type === "default" || (type === undefined && !("factor" in fields))) return undefined;
	const maxPositions = config.max_position_embeddings;
	const trained = fields.original_max_position_embeddings ?? config.original_max_position_embeddings;
	// In transformers one of the two mscales has no effect without the other, and 0 stands for none.
	const mscales = fields.mscale && fields.mscale_all_dim ? fields : {};
	return present({
		// "su" is what Phi-3 called longrope at first.
		type: type === "su" ? "longrope" : type,
		factor: fields.factor ?? (trained && Number(maxPositions) / Number(trained)),
		originalMaxPositions: trained,
		betaFast: fields.beta_fast,
		betaSlow: fields.beta_slow,
		attentionFactor: fields.attention_factor,
		mscale: mscales.mscale,
		mscaleAllDim: mscales.mscale_all_dim,
		truncate: fields.truncate,
		lowFrequencyFactor: fields.low_freq_factor,
		highFrequencyFactor: fields.high_freq_factor,
		shortFactor: fields.short_factor,
		longFactor: fields.long_factor,
	});
}

/** The entries that are neither undefined nor null. */
function present(fields: Fields): Fields {
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value != null));
}

function isRecord(value: unknown): value is Fields {
	return typeof value === "object" && value !== null && !Array.isArray(value);
}
