/** From a name, or from files, to a model in use. */
import { defaultPrecision } from "./default-precision.ts";
import { LanguageModel } from "./language-model.ts";
import type { LoadModelOptions, Model } from "./model.ts";
import { type ModelSource, nameOf } from "./model-files.ts";
import { openFiles } from "./open-files.ts";
import { openDecoder, openText } from "./open-model.ts";

/**
 * Loads a model: a path or, in a browser, a URL; a name such as "smollm2-135m"; hf:owner/repo/file; or what the user has
 * chosen, a GGUF file as a `File` or the `File`s of a folder. What is not at hand is fetched, once: into the cache, or
 * into the browser's storage for the site. The graph is built when a session first needs it.
 * @throws TokError when the model cannot be found, is damaged, or is of a kind that tok does not read.
 */
export async function loadModel(source: ModelSource, options: LoadModelOptions): Promise<Model> {
	const { runtime, precision, memoryHeads, compressors, prepareChat = true, signal, onProgress } = options;
	const files = await openFiles(source, {
		...(signal === undefined ? {} : { signal }),
		...(onProgress === undefined ? {} : { onProgress }),
	});
	signal?.throwIfAborted();
	const decoder = await openDecoder(files);
	try {
		const text = await openText(files, decoder);
		if (prepareChat) await text.chatTemplate?.prepare();
		return new LanguageModel({
			name: nameOf(source),
			decoder,
			text,
			precision: precision ?? defaultPrecision(decoder.file),
			runtime,
			memoryHeads,
			compressors,
		});
	} catch (error) {
		decoder.file.close();
		throw error;
	}
}
