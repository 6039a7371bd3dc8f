/** A model's files, found and open: where they came from is forgotten here. */
import { TokError } from "@tok/runtime";
import { blobFolder, blobPath, blobSource, folderPath } from "./formats/blob-source.ts";
import type { ByteSource, FileFolder } from "./formats/byte-source.ts";
import { formatOf } from "./resolve/model-format.ts";

/** One GGUF file, or a folder in transformers' layout: config.json beside safetensors. */
export type ModelFiles = { readonly path: string } & (
	| { readonly format: "gguf"; readonly source: ByteSource }
	| { readonly format: "transformers"; readonly folder: FileFolder }
);

/**
 * Where a model comes from: a path, a name such as "smollm2-135m" or hf:owner/repo/file (in a browser a URL stands for
 * a path); a GGUF file as a Blob or a File; or the Files of a folder in transformers' layout.
 */
export type ModelSource = string | Blob | readonly File[];

/** What a model is called that was loaded from `source`. */
export function nameOf(source: ModelSource): string {
	if (typeof source === "string") return source;
	return isList(source) ? folderPath(source) : blobPath(source);
}

/** Opens a GGUF file, or the files of a folder. Rejects with a TokError when they are no model. */
export async function openBlobs(source: Blob | readonly File[]): Promise<ModelFiles> {
	checkBlobs(source);
	const path = nameOf(source);
	if (!isList(source)) return { path, format: "gguf", source: await blobSource(source) };
	const format = formatOf(
		path,
		source.map(({ name }) => name),
	);
	if (format.kind === "transformers")
		return { path, format: "transformers", folder: await blobFolder(source) };
	const gguf = source.find(({ name }) => name === format.file);
	if (gguf === undefined) throw new TokError("lm", `internal: expected ${format.file} among the files.`);
	return openBlobs(gguf);
}

function isList(source: Blob | readonly File[]): source is readonly File[] {
	return Array.isArray(source);
}

/** JavaScript passes what it likes. */
function checkBlobs(source: Blob | readonly File[]): void {
	const valid = isList(source)
		? source.length > 0 && source.every((file) => file instanceof File)
		: source instanceof Blob;
	if (!valid)
		throw new TokError(
			"lm",
			"model: expected a name, a path or a URL, a Blob or File that is a GGUF file, or an array of the Files of a " +
				`folder, got ${isList(source) ? "an array of something else" : typeof source}.`,
		);
}
