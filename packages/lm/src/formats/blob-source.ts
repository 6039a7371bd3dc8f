/**
 * Blobs and Files as sources of bytes. In a worker `FileReaderSync` reads what is asked for, when it is asked for, and
 * the rest stays where the Blob is: on a disk, for a File. Pages and Node have no such reader; there a Blob is read
 * into memory, once.
 */
import { attempt, type ByteSource, closed, type FileFolder, fileError, memorySource } from "./byte-source.ts";
import { damagedFile } from "./damaged-file.ts";

/** Of workers alone, so it is in no library of types that goes with a page's. */
declare const FileReaderSync: undefined | (new () => { readAsArrayBuffer(blob: Blob): ArrayBuffer });

/** Opens a Blob; `path` stands for it in errors. Rejects when it has to be read into memory and cannot be. */
export async function blobSource(blob: Blob, path: string = blobPath(blob)): Promise<ByteSource> {
	return (await opener(blob, path))();
}

/** Files in one folder: each by the last part of its name, the least deep one where several have the same. */
export async function blobFolder(
	files: readonly File[],
	path: string = folderPath(files),
): Promise<FileFolder> {
	const depth = (file: File): number => blobPath(file).split("/").length;
	const openers = new Map<string, () => ByteSource>();
	for (const file of files.toSorted((a, b) => depth(a) - depth(b)))
		if (isOfModel(file) && !openers.has(file.name))
			openers.set(file.name, await opener(file, blobPath(file)));
	return { path, open: (name) => openers.get(name)?.() };
}

/** What stands for a Blob in errors: the path within the folder that was chosen, its name, or that it has none. */
export function blobPath(blob: Blob): string {
	if (!(blob instanceof File)) return "Blob";
	// Node's File has none.
	const { name, webkitRelativePath } = blob as {
		readonly name: string;
		readonly webkitRelativePath?: string;
	};
	return webkitRelativePath || name || "File";
}

/** The folder that was chosen, or the names in it. */
export function folderPath(files: readonly File[]): string {
	const [first] = files;
	const parts = first === undefined ? [] : blobPath(first).split("/");
	if (parts.length > 1) return parts[0] as string;
	const names = files.slice(0, 3).map(({ name }) => name);
	return `${names.join(", ")}${files.length > 3 ? ", …" : ""}` || "no files";
}

/** The others of a folder, such as a second copy of the weights, are not worth reading. */
function isOfModel({ name }: File): boolean {
	return /\.(json|jinja|safetensors)$/.test(name);
}

async function opener(blob: Blob, path: string): Promise<() => ByteSource> {
	const stamp = blob instanceof File ? `${blob.size} ${blob.lastModified}` : undefined;
	if (typeof FileReaderSync === "function") {
		const reader = new FileReaderSync();
		return () => slicedSource(path, blob, stamp, (part) => reader.readAsArrayBuffer(part));
	}
	try {
		const bytes = new Uint8Array(await blob.arrayBuffer());
		return () => memorySource(path, bytes, stamp);
	} catch (cause) {
		throw fileError(path, `read into memory, ${blob.size} bytes`, cause);
	}
}

function slicedSource(
	path: string,
	blob: Blob,
	stamp: string | undefined,
	readBlob: (part: Blob) => ArrayBuffer,
): ByteSource {
	let open = true;
	return {
		path,
		size: blob.size,
		stamp,
		read(offset, length) {
			if (!open) throw closed(path);
			const bytes = new Uint8Array(
				attempt(path, "read", () => readBlob(blob.slice(offset, offset + length))),
			);
			if (bytes.length !== length)
				throw damagedFile(path, `expected ${length} bytes at offset ${offset}, got ${bytes.length}`);
			return bytes;
		},
		close() {
			open = false;
		},
	};
}
