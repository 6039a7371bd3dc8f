/** From a model's name to its files: what differs between Node and a browser is in `node/` and `browser/`. */
import { platform } from "#platform";
import type { Progress } from "../model.ts";
import type { Environment } from "../platform/platform.ts";
import type { ModelFormat } from "./model-format.ts";

export interface ResolvedModel {
	/** As it was asked for. */
	readonly name: string;
	/**
	 * Absolute path of the .gguf file, or of the folder that holds config.json and *.safetensors; in a browser the URL
	 * that it was fetched from.
	 */
	readonly path: string;
	readonly format: ModelFormat;
}

export interface ResolveOptions {
	readonly signal?: AbortSignal;
	/** Called while a file is fetched: the first time as soon as its size is known, before its bytes come. */
	readonly onProgress?: (progress: Progress) => void;
	/**
	 * `TOK_MODELS`, `TOK_HOME`, `HF_TOKEN`, `HF_ENDPOINT`, `HF_HUB_OFFLINE`, and what pip reads. Defaults to process.env;
	 * in a browser, where `HF_TOKEN` and `HF_ENDPOINT` alone mean something, to nothing.
	 */
	readonly env?: Environment;
	/** Defaults to the global fetch. */
	readonly fetch?: typeof fetch;
}

/**
 * Finds a model, or fetches it: into the cache, or into the browser's storage for this site.
 *
 * @param name in Node a path; `smollm2-135m`; `hf:owner/repo[@revision][/file]`; or an entry of `TOK_MODELS`. In a
 * browser a URL, absolute or relative to the page, instead of a path.
 * @throws TokError that says what was tried, why it failed and what to do; the signal's reason when aborted.
 */
export function resolveModel(name: string, options: ResolveOptions = {}): Promise<ResolvedModel> {
	return platform.resolveModel(name, options);
}
