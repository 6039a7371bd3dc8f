/** Models in transformers' layout: config.json beside safetensors and tokenizer.json. */
import { TokError } from "@tok/runtime";
import { type FileFolder, readText } from "./formats/byte-source.ts";
import type { ModelText } from "./open-model.ts";
import { chatTemplateFromFiles } from "./text/chat-template-files.ts";
import type { ReadText } from "./text/json-fields.ts";
import { tokenizerFromFiles } from "./text/tokenizer-files.ts";

export { openTransformersDecoder } from "./open-decoder.ts";

export async function textFromFolder(folder: FileFolder): Promise<ModelText> {
	const readText = readFrom(folder);
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
