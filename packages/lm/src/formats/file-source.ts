/** Files and folders on disk as sources of bytes. Node alone has them. */
import { closeSync, fstatSync, openSync, readSync, statSync } from "node:fs";
import { join } from "node:path";
import { TokError } from "@tok/runtime";
import { allocate, attempt, type ByteSource, closed, type FileFolder } from "./byte-source.ts";
import { damagedFile } from "./damaged-file.ts";

/** Bytes per system call: below the 2 GiB that one call can transfer. */
const longestRead = 2 ** 30;

/** Opens a file. Throws when there is none, it is not a file, or it cannot be opened. */
export function openFileSource(path: string): ByteSource {
	const descriptor = attempt(path, "opened", () => openSync(path, "r"));
	let open = true;
	const close = (): void => {
		if (open) closeSync(descriptor);
		open = false;
	};
	try {
		const stat = attempt(path, "inspected", () => fstatSync(descriptor));
		if (!stat.isFile())
			throw new TokError("lm", `${path}: expected a file, got something else; check the path`);
		return {
			path,
			size: stat.size,
			stamp: `${stat.size} ${stat.mtimeMs}`,
			read(offset, length) {
				if (!open) throw closed(path);
				const bytes = allocate(path, length);
				for (let done = 0; done < length; ) {
					const wanted = Math.min(length - done, longestRead);
					const got = attempt(path, "read", () => readSync(descriptor, bytes, done, wanted, offset + done));
					if (got === 0) {
						const problem = `expected ${stat.size} bytes as when it was opened, got none at offset ${offset + done}`;
						throw damagedFile(path, problem);
					}
					done += got;
				}
				return bytes;
			},
			close,
		};
	} catch (error) {
		close();
		throw error;
	}
}

/** A folder on disk. */
export function diskFolder(path: string): FileFolder {
	return {
		path,
		open(name) {
			const file = join(path, name);
			return statSync(file, { throwIfNoEntry: false }) && openFileSource(file);
		},
	};
}
