/** From whatever a model is loaded from to its open files. */
import { platform } from "#platform";
import { type ModelFiles, type ModelSource, openBlobs } from "./model-files.ts";
import type { ResolveOptions } from "./resolve/resolve-model.ts";

/** Finds a model, fetches it when it is not at hand, and opens its files. Rejects with a TokError when it is none. */
export async function openFiles(source: ModelSource, options: ResolveOptions): Promise<ModelFiles> {
	return typeof source === "string" ? platform.openModel(source, options) : openBlobs(source);
}
