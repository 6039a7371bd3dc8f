/** A resolved model, opened: its decoder, its tokenizer and its chat template. The tensors stay in the file. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { TokError } from "@tok/runtime";
import { type OpenDecoder, openGgufDecoder, openTransformersDecoder } from "./open-decoder.ts";
import type { ResolvedModel } from "./resolve/resolve-model.ts";
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
export function openDecoder({ path, format }: ResolvedModel): OpenDecoder {
	return format === "gguf" ? openGgufDecoder(path) : openTransformersDecoder(path);
}

/** Reads the tokenizer and the chat template. Throws a TokError when the model has no tokenizer that tok reads. */
export async function openText({ path, format }: ResolvedModel, decoder: OpenDecoder): Promise<ModelText> {
	if (format === "gguf") {
		const tokenizer = tokenizerFromGguf(decoder.file.metadata);
		return { tokenizer, chatTemplate: chatTemplateFromGguf(decoder.file.metadata, tokenizer) };
	}
	const readText = readFrom(path);
	const tokenizer = await tokenizerFromFiles(readText);
	return { tokenizer, chatTemplate: await chatTemplateFromFiles(readText, tokenizer) };
}

/** Reads a text file of the folder; undefined when it is not there. */
function readFrom(folder: string): ReadText {
	return async (name) => {
		try {
			return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(join(folder, name)));
		} catch (cause) {
			if ((cause as NodeJS.ErrnoException).code === "ENOENT") return undefined;
			throw new TokError(
				"lm",
				`${join(folder, name)}: expected a readable text file: ${(cause as Error).message}`,
				{
					cause,
				},
			);
		}
	};
}
