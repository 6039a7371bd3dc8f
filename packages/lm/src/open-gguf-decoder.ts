/** Opens a GGUF file and says what decoder it holds; the tensors stay where they are. */

import type { Pairing } from "@tok/rope";
import { TokError } from "@tok/runtime";
import type { Architecture } from "./architectures/architecture.ts";
import { architectureByGgufName } from "./architectures/architectures.ts";
import { ConfigReader, type ConfigRecord } from "./architectures/config-reader.ts";
import { configFromGguf } from "./architectures/gguf-config.ts";
import { checkWeights } from "./decoder/check-weights.ts";
import { type DecoderConfig, decoderConfig } from "./decoder/decoder-config.ts";
import { ggufNames, type TensorNames, Weights } from "./decoder/weights.ts";
import type { ByteSource } from "./formats/byte-source.ts";
import { readGguf } from "./formats/gguf.ts";
import type { TensorFile } from "./formats/tensor-file.ts";

export interface OpenDecoder {
	readonly file: TensorFile;
	readonly config: DecoderConfig;
	readonly weights: Weights;
	readonly pairing: Pairing;
}

/** A GGUF file, which it takes over. Throws when its architecture is unknown or its metadata is incomplete. */
export function openGgufDecoder(source: ByteSource): OpenDecoder {
	const { path } = source;
	return closingOnError(readGguf(source), (file) => {
		const name = file.metadata.get("general.architecture");
		if (typeof name !== "string")
			throw new TokError(
				"lm",
				`${path}: expected general.architecture in the metadata, got none. The file is no model.`,
			);
		const architecture = architectureByGgufName(name, path);
		const { gguf } = architecture;
		const stored = { ...configFromGguf(file.metadata, name), ...ropeFactors(file) };
		const defaults = gguf.defaults?.(new ConfigReader(stored, path));
		// Converters have added a norm's offset to its weights already.
		const { normOffset: _, ...rest } = architecture;
		const config = new ConfigReader({ ...defaults, ...stored }, path);
		return checked(rest, config, file, { names: ggufNames, pairing: gguf.pairing });
	});
}

/** Believes a configuration only as far as the file's tensors bear it out. */
export function checked(
	architecture: Architecture,
	record: ConfigReader,
	file: TensorFile,
	{ names, pairing }: { readonly names: TensorNames; readonly pairing: Pairing },
): OpenDecoder {
	const layers = record.count("num_hidden_layers");
	if (layers > file.tensors.size)
		throw record.error(
			"num_hidden_layers",
			`at most as many layers as there are tensors, ${file.tensors.size}`,
			`${layers}`,
		);
	const config = decoderConfig(architecture, record);
	const weights = new Weights(file, names);
	checkWeights(config, weights);
	return { file, config, weights, pairing };
}

/**
 * llama.cpp's converters turn llama3 and longrope scaling into divisors of the frequencies, kept as tensors; as
 * longrope says the same thing, they become that.
 */
function ropeFactors(file: TensorFile): ConfigRecord {
	const factors = (name: string): number[] | undefined =>
		file.tensors.has(name) ? Array.from(file.read(name)) : undefined;
	const every = factors("rope_freqs.weight");
	const long = factors("rope_factors_long.weight") ?? every;
	const short = factors("rope_factors_short.weight") ?? every;
	if (long === undefined || short === undefined) return {};
	const prefix = file.metadata.get("general.architecture");
	const scaling = (key: string): unknown => file.metadata.get(`${prefix}.rope.scaling.${key}`);
	return {
		rope_scaling: {
			rope_type: "longrope",
			short_factor: short,
			long_factor: long,
			original_max_position_embeddings:
				scaling("original_context_length") ?? file.metadata.get(`${prefix}.context_length`),
			attention_factor: every === undefined ? (scaling("attn_factor") ?? 1) : 1,
		},
	};
}

/** Closes the file when what is done with it throws. */
export function closingOnError(file: TensorFile, open: (file: TensorFile) => OpenDecoder): OpenDecoder {
	try {
		return open(file);
	} catch (error) {
		file.close();
		throw error;
	}
}
