/** The browser's half of the platform, of pages and workers alike. */
import { sha256 } from "@noble/hashes/sha2.js";
import { TokError } from "@tok/runtime";
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
	async resolveModel(name) {
		throw noPath(name, "a Blob, a File or the Files of a folder", "Fetch it, or let the user choose it");
	},
	async openModel(name) {
		throw noPath(name, "a Blob, a File or the Files of a folder", "Fetch it, or let the user choose it");
	},
	cacheFolder() {
		throw new TokError(
			"lm",
			"cacheFolder: expected Node, got a browser, which has no folders. Ask storedModels().",
		);
	},
	async storedModels() {
		return [];
	},
	async removeStoredModel() {},
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
