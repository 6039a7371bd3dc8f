/** Opens a file or a folder by its path, whatever its format: the first bytes of a file decide, not its name. */
import { statSync } from "node:fs";
import { diskFolder, openFileSource } from "../formats/file-source.ts";
import { type GgufFile, readGguf } from "../formats/gguf.ts";
import { openSafetensors, readSafetensors } from "../formats/safetensors.ts";
import type { TensorFile } from "../formats/tensor-file.ts";

export function openTensorFile(path: string): TensorFile {
	if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return openSafetensors(diskFolder(path));
	const source = openFileSource(path);
	const gguf = source.size >= 4 && String.fromCharCode(...source.read(0, 4)) === "GGUF";
	return gguf ? readGguf(source) : readSafetensors(source);
}

export function openGguf(path: string): GgufFile {
	return readGguf(openFileSource(path));
}
