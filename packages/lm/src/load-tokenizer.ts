/** A model's tokenizer alone: no weight is read, so it takes a fraction of a second. */
import type { ModelSource } from "./model-files.ts";
import { openFiles } from "./open-files.ts";
import { openDecoder, openText } from "./open-model.ts";
import type { ResolveOptions } from "./resolve/resolve-model.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/**
 * Finds a model as `loadModel` does and reads its tokenizer.
 * Throws a TokError when the model is not found, is damaged, or carries no tokenizer.
 */
export async function loadTokenizer(source: ModelSource, options: ResolveOptions = {}): Promise<Tokenizer> {
	const files = await openFiles(source, options);
	const decoder = await openDecoder(files);
	try {
		return (await openText(files, decoder)).tokenizer;
	} finally {
		decoder.file.close();
	}
}
