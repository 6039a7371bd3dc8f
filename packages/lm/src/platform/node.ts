/** Node's half of the platform. */
import { createHash } from "node:crypto";
import { TokError } from "@tok/runtime";
import { codeStamp } from "../code-stamp.ts";
import { diskFolder, openFileSource } from "../formats/file-source.ts";
import { writeAside } from "../formats/write-aside.ts";
import type { ModelFiles } from "../model-files.ts";
import { cacheFolder } from "../resolve/node/cache-folder.ts";
import { findModel } from "../resolve/node/find-model.ts";
import type { Platform } from "./platform.ts";

export const platform: Platform = {
	createSha256: () => createHash("sha256"),
	codeStamp,
	openFile: openFileSource,
	writeFile: writeAside,
	resolveModel: findModel,
	async openModel(name, options): Promise<ModelFiles> {
		const { path, format } = await findModel(name, options);
		return format === "gguf"
			? { path, format, source: openFileSource(path) }
			: { path, format, folder: diskFolder(path) };
	},
	cacheFolder,
	storedModels: notHere,
	removeStoredModel: notHere,
};

async function notHere(): Promise<never> {
	throw new TokError(
		"lm",
		"stored models: expected a browser, got Node, which keeps models as files. List or delete them in cacheFolder().",
	);
}
