/**
 * What a model's name may be: a path, a short name, or a place on the Hugging Face hub. A name ends up in paths
 * below the cache, so whatever could leave it is refused here, once.
 */
import { TokError } from "@tok/runtime";
import { type KnownModel, knownModels } from "./known-models.ts";

export type ModelName =
	| { readonly kind: "path"; readonly path: string }
	| { readonly kind: "known"; readonly model: KnownModel }
	/** A word that is neither: only a file or folder of that name can answer it. */
	| { readonly kind: "word"; readonly word: string }
	| { readonly kind: "hub"; readonly place: HubPlace };

/** `hf:owner/repo[@revision][/file]` */
export interface HubPlace {
	/** "owner/repo" */
	readonly repo: string;
	/** A branch, a tag or a commit. */
	readonly revision: string;
	/** Path of one file in the repository; undefined for a folder in transformers' layout. */
	readonly file: string | undefined;
}

/** Throws a TokError for a name that can be none of them. */
export function parseModelName(name: string): ModelName {
	if (name.startsWith("hf:")) return { kind: "hub", place: parseHubPlace(name) };
	if (name.trim() === "" || name.includes("\0")) {
		throw new TokError(
			"lm",
			`model: expected a path or a name, got ${JSON.stringify(name)}. Known names: ${listKnown()}.`,
		);
	}
	const model = knownModels.find((known) => known.name === name);
	if (model !== undefined) return { kind: "known", model };
	// A word without separators may still be a file in the working directory; a word never leaves a folder.
	if (isSafeSegment(name) && !name.endsWith(".gguf")) return { kind: "word", word: name };
	return { kind: "path", path: name };
}

export function listKnown(): string {
	return knownModels.map((known) => known.name).join(", ");
}

function parseHubPlace(name: string): HubPlace {
	const match = /^hf:([^/@]+\/[^/@]+)(?:@([^/]+))?(?:\/(.+))?$/.exec(name);
	const [, repo = "", revision = "main", file] = match ?? [];
	const segments = [...repo.split("/"), revision, ...(file?.split("/") ?? [])];
	if (match === null || !segments.every(isSafeSegment)) {
		throw new TokError(
			"lm",
			`model: expected hf:owner/repo, hf:owner/repo/file or hf:owner/repo@revision/file, got ${JSON.stringify(name)}.`,
		);
	}
	return { repo, revision, file };
}

/** True for one path segment that names an entry of its folder on every platform, and nothing else. */
export function isSafeSegment(segment: string): boolean {
	// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what is refused.
	return segment !== "" && !/^\.+$|[\\/:*?"<>|\u0000-\u001f]|[. ]$|^ /.test(segment);
}
