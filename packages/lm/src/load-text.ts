/** The text side of a model, its tokenizer and chat template, without its weights. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { TokError } from "@tok/runtime";
import { openTensorFile } from "./formats/open-tensor-file.ts";
import type { MetadataValue } from "./formats/tensor-file.ts";
import { type ResolvedModel, type ResolveOptions, resolveModel } from "./resolve/resolve-model.ts";
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

/**
 * Finds a model as `resolveModel` does and reads its tokenizer; takes a fraction of a second, as no weight is read.
 * Throws a TokError when the model is not found, is damaged, or carries no tokenizer.
 */
export async function loadTokenizer(name: string, options: ResolveOptions = {}): Promise<Tokenizer> {
	return (await readModelText(await resolveModel(name, options))).tokenizer;
}

/** `metadata` spares a GGUF file that is open already a second reading of its header. */
export async function readModelText(
	model: Pick<ResolvedModel, "path" | "format">,
	metadata?: ReadonlyMap<string, MetadataValue>,
): Promise<ModelText> {
	if (model.format === "gguf") {
		const known = metadata ?? readMetadata(model.path);
		const tokenizer = tokenizerFromGguf(known);
		return { tokenizer, chatTemplate: chatTemplateFromGguf(known, tokenizer) };
	}
	const readText = textReader(model.path);
	const tokenizer = await tokenizerFromFiles(readText);
	return { tokenizer, chatTemplate: await chatTemplateFromFiles(readText, tokenizer) };
}

function readMetadata(path: string): ReadonlyMap<string, MetadataValue> {
	using file = openTensorFile(path);
	return file.metadata;
}

function textReader(folder: string): ReadText {
	return async (name) => {
		try {
			return await readFile(join(folder, name), "utf8");
		} catch (error) {
			if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
			throw new TokError("lm", `${join(folder, name)}: cannot be read. Check its permissions.`, {
				cause: error,
			});
		}
	};
}
