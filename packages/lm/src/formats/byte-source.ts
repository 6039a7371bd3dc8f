/**
 * Where a reader gets its bytes: a file, a Blob, or memory. Reads are positioned and independent, so that one tensor of
 * a large file costs its own bytes only.
 */
import { TokError } from "@tok/runtime";

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

/** Files by name: a folder on disk, or a list of `File`s. */
export interface FileFolder {
	/** For error messages. */
	readonly path: string;
	/** The caller closes it. Undefined when there is no file of that name; throws when it cannot be opened. */
	open(name: string): ByteSource | undefined;
}

/** Bytes in memory; `path` stands for them in errors. The caller must not change them while the source is in use. */
export function memorySource(path: string, bytes: Uint8Array, stamp?: string): ByteSource {
	let open = true;
	return {
		path,
		size: bytes.length,
		stamp,
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

/** All of a source as text; closes it. Throws for what is not UTF-8. */
export function readText(source: ByteSource): string {
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(source.read(0, source.size));
	} finally {
		source.close();
	}
}

export function allocate(path: string, length: number): Uint8Array<ArrayBuffer> {
	try {
		return new Uint8Array(length);
	} catch (cause) {
		throw new TokError("lm", `${path}: expected memory for ${length} bytes, got none; use a smaller model`, {
			cause,
		});
	}
}

export function closed(path: string): TokError {
	return new TokError(
		"lm",
		`${path}: expected an open file, but it has been closed; read tensors before close()`,
	);
}

/** What failed, in words: "opened", "read". */
export function attempt<T>(path: string, what: string, action: () => T): T {
	try {
		return action();
	} catch (cause) {
		throw fileError(path, what, cause);
	}
}

export function fileError(path: string, what: string, cause: unknown): TokError {
	const reason = cause instanceof Error ? cause.message : String(cause);
	return new TokError(
		"lm",
		`${path}: the file could not be ${what} (${reason}); check the path and its permissions`,
		{ cause },
	);
}
