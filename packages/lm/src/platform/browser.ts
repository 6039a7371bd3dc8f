/** The browser's half of the platform, of pages and workers alike. */
import { sha256 } from "@noble/hashes/sha2.js";
import { TokError } from "@tok/runtime";
import { blobFolder, blobSource } from "../formats/blob-source.ts";
import { fetchModel } from "../resolve/browser/fetch-model.ts";
import { removeStoredModel, storedModels } from "../resolve/browser/stored-models.ts";
import type { Platform, Sha256 } from "./platform.ts";

export const platform: Platform = {
	createSha256,
	codeStamp: () => undefined,
	openFile(path) {
		throw noPath(path, "a Blob or a File", "Fetch it, or let the user choose it");
	},
	async writeFile(path) {
		throw noPath(path, "a WritableStream", "Take one from the File System API or a TransformStream");
	},
	async resolveModel(name, options) {
		const { place, format } = await fetchModel(name, options);
		return { name, path: place.url, format };
	},
	async openModel(name, options) {
		const { place, format, files } = await fetchModel(name, options);
		const path = place.url;
		const [file] = files;
		if (format === "transformers" || file === undefined)
			return { path, format: "transformers", folder: await blobFolder(files, path) };
		return { path, format, source: await blobSource(file, path) };
	},
	cacheFolder() {
		throw new TokError(
			"lm",
			"cacheFolder: expected Node, got a browser, which has no folders. Ask storedModels().",
		);
	},
	storedModels,
	removeStoredModel,
};

/** Web Crypto digests only what is in memory as a whole, and later. */
function createSha256(): Sha256 {
	const hash = sha256.create();
	const encoder = new TextEncoder();
	return {
		update(data) {
			hash.update(typeof data === "string" ? encoder.encode(data) : data);
			return this;
		},
		digest: () => hash.digest(),
	};
}

function noPath(path: string, expected: string, remedy: string): TokError {
	return new TokError(
		"lm",
		`${path}: expected ${expected}, got a path, which a browser does not have. ${remedy}.`,
	);
}
