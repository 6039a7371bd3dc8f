/** From a name to a model in use. */
import { defaultPrecision } from "./default-precision.ts";
import { LanguageModel } from "./language-model.ts";
import type { LoadModelOptions, Model } from "./model.ts";
import { openDecoder, openText } from "./open-model.ts";
import { resolveModel } from "./resolve/resolve-model.ts";

/**
 * Loads a model: a path, a name such as "smollm2-135m", or hf:owner/repo/file; fetched into the cache when it is
 * not at hand. The graph is built when a session first needs it.
 * @throws TokError when the model cannot be found, is damaged, or is of a kind that tok does not read.
 */
export async function loadModel(name: string, options: LoadModelOptions): Promise<Model> {
	const { runtime, precision, memoryHeads, signal, onProgress } = options;
	const resolved = await resolveModel(name, {
		...(signal === undefined ? {} : { signal }),
		...(onProgress === undefined ? {} : { onProgress }),
	});
	signal?.throwIfAborted();
	const decoder = openDecoder(resolved);
	try {
		const text = await openText(resolved, decoder);
		return new LanguageModel({
			name,
			decoder,
			text,
			precision: precision ?? defaultPrecision(decoder.file),
			runtime,
			memoryHeads,
		});
	} catch (error) {
		decoder.file.close();
		throw error;
	}
}
