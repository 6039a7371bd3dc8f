/**
 * Where a reader gets its bytes: a file, or memory. Reads are positioned and independent, so that one tensor of a large
 * file costs its own bytes only.
 */
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import { TokError } from "@tok/runtime";
import { damagedFile } from "./damaged-file.ts";

export interface ByteSource {
	/** For error messages: a path, or what stands for it. */
	readonly path: string;
	/** Bytes in all. */
	readonly size: number;
	/** Another one when the file has changed; undefined for what is no file. */
	readonly stamp: string | undefined;
	/**
	 * Bytes [offset, offset + length) in a buffer of their own that starts at the first of them, so that any typed array
	 * can view it. The caller has checked that they lie within `size`. Throws when the file has shrunk or cannot be read.
	 */
	read(offset: number, length: number): Uint8Array<ArrayBuffer>;
	/** Idempotent; reads throw afterwards. */
	close(): void;
}

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

/** Bytes in memory; `path` stands for them in errors. The caller must not change them while the source is in use. */
export function memorySource(path: string, bytes: Uint8Array): ByteSource {
	let open = true;
	return {
		path,
		size: bytes.length,
		stamp: undefined,
		read(offset, length) {
			if (!open) throw closed(path);
			const copy = allocate(path, length);
			copy.set(bytes.subarray(offset, offset + length));
			return copy;
		},
		close() {
			open = false;
		},
	};
}

function allocate(path: string, length: number): Uint8Array<ArrayBuffer> {
	try {
		return new Uint8Array(length);
	} catch (cause) {
		throw new TokError("lm", `${path}: expected memory for ${length} bytes, got none; use a smaller model`, {
			cause,
		});
	}
}

function closed(path: string): TokError {
	return new TokError(
		"lm",
		`${path}: expected an open file, but it has been closed; read tensors before close()`,
	);
}

function attempt<T>(path: string, what: string, action: () => T): T {
	try {
		return action();
	} catch (cause) {
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new TokError(
			"lm",
			`${path}: the file could not be ${what} (${reason}); check the path and its permissions`,
			{
				cause,
			},
		);
	}
}
