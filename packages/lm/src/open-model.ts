/** A model's decoder, its tokenizer and its chat template. The tensors stay where they are. */
import { TokError } from "@tok/runtime";
import { type FileFolder, readText } from "./formats/byte-source.ts";
import type { ModelFiles } from "./model-files.ts";
import { type OpenDecoder, openGgufDecoder, openTransformersDecoder } from "./open-decoder.ts";
import { type ChatTemplate, chatTemplateFromFiles, chatTemplateFromGguf } from "./text/chat-template.ts";
import type { ReadText } from "./text/json-fields.ts";
import type { Tokenizer } from "./text/tokenizer.ts";
import { tokenizerFromFiles } from "./text/tokenizer-files.ts";
import { tokenizerFromGguf } from "./text/tokenizer-gguf.ts";

export interface ModelText {
	readonly tokenizer: Tokenizer;
	/** Undefined when the model carries none. */
	readonly chatTemplate: ChatTemplate | undefined;
}

/** Opens the decoder. Throws a TokError when the file is damaged or of an unknown architecture. */
export function openDecoder(files: ModelFiles): OpenDecoder {
	return files.format === "gguf" ? openGgufDecoder(files.source) : openTransformersDecoder(files.folder);
}

/** Reads the tokenizer and the chat template. Throws a TokError when the model has no tokenizer that tok reads. */
export async function openText(files: ModelFiles, decoder: OpenDecoder): Promise<ModelText> {
	if (files.format === "gguf") {
		const tokenizer = tokenizerFromGguf(decoder.file.metadata);
		return { tokenizer, chatTemplate: chatTemplateFromGguf(decoder.file.metadata, tokenizer) };
	}
	const readText = readFrom(files.folder);
	const tokenizer = await tokenizerFromFiles(readText);
	return { tokenizer, chatTemplate: await chatTemplateFromFiles(readText, tokenizer) };
}

/** Reads a text file of the folder; undefined when it is not there. */
function readFrom(folder: FileFolder): ReadText {
	return async (name) => {
		const source = folder.open(name);
		if (source === undefined) return undefined;
		try {
			return readText(source);
		} catch (cause) {
			throw new TokError("lm", `${source.path}: expected a readable text file: ${(cause as Error).message}`, {
				cause,
			});
		}
	};
}
