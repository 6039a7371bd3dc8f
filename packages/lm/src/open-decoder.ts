/** Opens a model's file and says what decoder it holds; the tensors stay where they are. */
import type { Pairing } from "@tok/rope";
import { TokError } from "@tok/runtime";
import type { Architecture } from "./architectures/architecture.ts";
import { architectureByGgufName, architectureByModelType } from "./architectures/architectures.ts";
import { ConfigReader, type ConfigRecord } from "./architectures/config-reader.ts";
import { configFromGguf } from "./architectures/gguf-config.ts";
import { checkWeights } from "./decoder/check-weights.ts";
import { type DecoderConfig, decoderConfig } from "./decoder/decoder-config.ts";
import { ggufNames, type TensorNames, transformersNames, Weights } from "./decoder/weights.ts";
import { type ByteSource, type FileFolder, readText } from "./formats/byte-source.ts";
import { readGguf } from "./formats/gguf.ts";
import { openSafetensors } from "./formats/safetensors.ts";
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

/** A folder in transformers' layout: config.json beside safetensors. Throws as `openGgufDecoder` does. */
export function openTransformersDecoder(folder: FileFolder): OpenDecoder {
	const { path, record } = readConfig(folder);
	const type = record.model_type;
	if (typeof type !== "string")
		throw new TokError(
			"lm",
			`${path}: expected model_type, got ${JSON.stringify(type)}. The file is no model configuration.`,
		);
	const architecture = architectureByModelType(type, path);
	const config = new ConfigReader({ ...architecture.defaults, ...record }, path);
	return closingOnError(openSafetensors(folder), (file) =>
		checked(architecture, config, file, { names: transformersNames, pairing: "half" }),
	);
}

/** Believes a configuration only as far as the file's tensors bear it out. */
function checked(
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

function readConfig(folder: FileFolder): { readonly path: string; readonly record: ConfigRecord } {
	const source = folder.open("config.json");
	if (source === undefined)
		throw new TokError(
			"lm",
			`${folder.path}: expected a config.json in the folder, got none; check the path`,
		);
	const { path } = source;
	try {
		const parsed: unknown = JSON.parse(readText(source));
		if (typeof parsed === "object" && parsed !== null && !Array.isArray(parsed)) {
			const record = parsed as ConfigRecord;
			// Multimodal checkpoints keep the language model's part apart.
			const text = record.text_config;
			return { path, record: typeof text === "object" && text !== null ? (text as ConfigRecord) : record };
		}
	} catch (cause) {
		throw new TokError("lm", `${path}: expected a readable config.json: ${(cause as Error).message}`, {
			cause,
		});
	}
	throw new TokError("lm", `${path}: expected a JSON object, got another value. Download the file again.`);
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

function closingOnError(file: TensorFile, open: (file: TensorFile) => OpenDecoder): OpenDecoder {
	try {
		return open(file);
	} catch (error) {
		file.close();
		throw error;
	}
}
