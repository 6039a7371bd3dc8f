/** Opens a folder in transformers' layout and says what decoder it holds; the tensors stay where they are. */
import { TokError } from "@tok/runtime";
import { architectureByModelType } from "./architectures/architectures.ts";
import { ConfigReader, type ConfigRecord } from "./architectures/config-reader.ts";
import { transformersNames } from "./decoder/weights.ts";
import { type FileFolder, readText } from "./formats/byte-source.ts";
import { openSafetensors } from "./formats/safetensors.ts";
import { checked, closingOnError, type OpenDecoder } from "./open-gguf-decoder.ts";

export { type OpenDecoder, openGgufDecoder } from "./open-gguf-decoder.ts";

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
