/** A model's tokenizer alone: no weight is read, so it takes a fraction of a second. */
import { openDecoder, openText } from "./open-model.ts";
import { type ResolveOptions, resolveModel } from "./resolve/resolve-model.ts";
import type { Tokenizer } from "./text/tokenizer.ts";

/**
 * Finds a model as `resolveModel` does and reads its tokenizer.
 * Throws a TokError when the model is not found, is damaged, or carries no tokenizer.
 */
export async function loadTokenizer(name: string, options: ResolveOptions = {}): Promise<Tokenizer> {
	const found = await resolveModel(name, options);
	const decoder = openDecoder(found);
	try {
		return (await openText(found, decoder)).tokenizer;
	} finally {
		decoder.file.close();
	}
}
