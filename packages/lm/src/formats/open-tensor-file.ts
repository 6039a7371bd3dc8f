/** Opens a model's weights whatever their format: the first bytes of a file decide, not its name. */
import { statSync } from "node:fs";
import { openFileSource } from "./byte-source.ts";
import { openGguf } from "./gguf.ts";
import { openSafetensors } from "./safetensors.ts";
import type { TensorFile } from "./tensor-file.ts";

/**
 * `path` is a GGUF file, a safetensors file, a `*.safetensors.index.json`, or a folder with safetensors in it.
 * Throws a `TokError` when it is none of these, or damaged.
 */
export function openTensorFile(path: string): TensorFile {
	if (path.endsWith(".json") || statSync(path, { throwIfNoEntry: false })?.isDirectory())
		return openSafetensors(path);
	return startsAsGguf(path) ? openGguf(path) : openSafetensors(path);
}

function startsAsGguf(path: string): boolean {
	const source = openFileSource(path);
	try {
		return source.size >= 4 && String.fromCharCode(...source.read(0, 4)) === "GGUF";
	} finally {
		source.close();
	}
}
