/** A model's decoder, its tokenizer and its chat template. The tensors stay where they are. */
import { loadPart } from "./load-part.ts";
import type { ModelFiles } from "./model-files.ts";
import { type OpenDecoder, openGgufDecoder } from "./open-gguf-decoder.ts";
import { type ChatTemplate, chatTemplateFromGguf } from "./text/chat-template.ts";
import type { Tokenizer } from "./text/tokenizer.ts";
import { tokenizerFromGguf } from "./text/tokenizer-gguf.ts";

export interface ModelText {
	readonly tokenizer: Tokenizer;
	/** Undefined when the model carries none; yet to be prepared. */
	readonly chatTemplate: ChatTemplate | undefined;
}

const transformersLayout = () =>
	loadPart("reads transformers' layout", () => import("./transformers-layout.ts"));

/** Opens the decoder. Rejects with a TokError when the file is damaged or of an unknown architecture. */
export async function openDecoder(files: ModelFiles): Promise<OpenDecoder> {
	if (files.format === "gguf") return openGgufDecoder(files.source);
	const { openTransformersDecoder } = await transformersLayout();
	return openTransformersDecoder(files.folder);
}

/** Reads the tokenizer and the chat template. Rejects with a TokError when the model has no tokenizer that tok reads. */
export async function openText(files: ModelFiles, decoder: OpenDecoder): Promise<ModelText> {
	if (files.format === "gguf") {
		const tokenizer = tokenizerFromGguf(decoder.file.metadata);
		return { tokenizer, chatTemplate: chatTemplateFromGguf(decoder.file.metadata, tokenizer) };
	}
	const { textFromFolder } = await transformersLayout();
	return textFromFolder(files.folder);
}
