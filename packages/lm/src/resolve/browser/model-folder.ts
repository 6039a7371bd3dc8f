/**
 * Where a browser keeps the files of one model: in the site's origin-private file system (OPFS, WHATWG File System),
 * or, where there is none to be had or none that can be written, in memory. A folder per model, called by a digest of
 * its name, with a manifest beside the files that says what they are and which of them are whole.
 */
import { TokError } from "@tok/runtime";
import { sha256OfText } from "../../sha256.ts";
import type { ByteSink } from "../fetch-bytes.ts";

/** What is known of a file, whole or not. */
export interface KeptFile {
	readonly name: string;
	readonly url: string;
	readonly size: number | undefined;
	readonly validator: string | undefined;
	/** Of the checksum that it was found to have; undefined when nobody knew one. */
	readonly sha256: string | undefined;
	readonly complete: boolean;
}

export interface Manifest {
	/** The model's. */
	readonly name: string;
	/** Whether all files are listed and complete. */
	readonly complete: boolean;
	readonly files: readonly KeptFile[];
}

export interface OpenSink extends ByteSink {
	/** Whatever was appended is in the file then. */
	close(): Promise<void>;
}

export interface ModelFolder {
	/** Undefined when there is none, or none that can be read. */
	readManifest(): Promise<Manifest | undefined>;
	writeManifest(manifest: Manifest): Promise<void>;
	/** Opens a file to be gone on with; makes it when there is none. */
	openSink(name: string): Promise<OpenSink>;
	/** Undefined when there is none. */
	file(name: string): Promise<File | undefined>;
}

const rootName = "tok-models";
const manifestName = "tok-manifest.json";

/** What TypeScript's library for pages lacks: it is for workers alone. */
interface SyncAccessHandle {
	getSize(): number;
	write(bytes: Uint8Array, options: { readonly at: number }): number;
	truncate(size: number): void;
	flush(): void;
	close(): void;
}

type FileHandle = FileSystemFileHandle & { createSyncAccessHandle?(): Promise<SyncAccessHandle> };

/** The folder of the model of this name, made when there is none. */
export async function modelFolder(name: string): Promise<ModelFolder> {
	const root = await storageRoot(true);
	if (root === undefined) return memoryFolder();
	return storedFolder(await root.getDirectoryHandle(folderName(name), { create: true }));
}

/** All folders that are kept. */
export async function* storedFolders(): AsyncGenerator<ModelFolder> {
	for await (const handle of (await storageRoot(false))?.values() ?? [])
		if (handle.kind === "directory") yield storedFolder(handle as FileSystemDirectoryHandle);
}

export async function removeFolder(name: string): Promise<void> {
	const root = await storageRoot(false);
	await stored(async () => {
		try {
			await root?.removeEntry(folderName(name), { recursive: true });
		} catch (error) {
			if (!isNamed(error, "NotFoundError")) throw error;
		}
	});
}

/** Runs one at a time of all tabs of the site: the second of two that fetch a model finds what the first has fetched. */
export async function exclusively<T>(
	name: string,
	signal: AbortSignal | undefined,
	action: () => Promise<T>,
): Promise<T> {
	const { locks } = globalThis.navigator ?? {};
	if (locks === undefined) return action();
	return locks.request(`${rootName}/${folderName(name)}`, { ...(signal && { signal }) }, action);
}

function folderName(name: string): string {
	return sha256OfText(name).slice(0, 32);
}

/** Undefined where the browser has no such storage, or gives none: in some private windows, and without HTTPS. */
async function storageRoot(create: boolean): Promise<FileSystemDirectoryHandle | undefined> {
	const { FileSystemFileHandle: handles, navigator } = globalThis;
	const writes = ["createSyncAccessHandle", "createWritable"].some(
		(way) => way in (handles?.prototype ?? {}),
	);
	if (!writes || navigator?.storage?.getDirectory === undefined) return undefined;
	try {
		return await (await navigator.storage.getDirectory()).getDirectoryHandle(rootName, { create });
	} catch {
		return undefined;
	}
}

function storedFolder(folder: FileSystemDirectoryHandle): ModelFolder {
	const file = (name: string): Promise<File | undefined> =>
		stored(async () => {
			try {
				return await (await folder.getFileHandle(name)).getFile();
			} catch (error) {
				if (isNamed(error, "NotFoundError")) return undefined;
				throw error;
			}
		});
	const openSink = (name: string): Promise<OpenSink> =>
		stored(async () => {
			const handle: FileHandle = await folder.getFileHandle(name, { create: true });
			return handle.createSyncAccessHandle
				? syncSink(await handle.createSyncAccessHandle())
				: streamSink((await handle.getFile()).size, await handle.createWritable({ keepExistingData: true }));
		});
	return {
		file,
		openSink,
		async readManifest() {
			try {
				const text = await (await file(manifestName))?.text();
				return text === undefined ? undefined : checkedManifest(JSON.parse(text));
			} catch {
				// A damaged one is as good as none: what it spoke of is fetched again.
				return undefined;
			}
		},
		async writeManifest(manifest) {
			const sink = await openSink(manifestName);
			try {
				await sink.clear();
				await sink.append(new TextEncoder().encode(JSON.stringify(manifest)));
			} finally {
				await sink.close();
			}
		},
	};
}

/** In workers: writes in place, so that what has come stays whatever happens. */
function syncSink(access: SyncAccessHandle): OpenSink {
	let size = access.getSize();
	return {
		get size() {
			return size;
		},
		lasting: true,
		append: (bytes) =>
			stored(async () => {
				for (let done = 0; done < bytes.length; ) {
					const rest = bytes.subarray(done);
					const written = access.write(rest, { at: size });
					// Chromium 153 throws nothing when the quota is used up: it answers with a negative number as an unsigned one.
					if (!(written > 0 && written <= rest.length))
						throw new DOMException("nothing was written", "QuotaExceededError");
					done += written;
					size += written;
				}
			}, size + bytes.length),
		clear: () =>
			stored(async () => {
				access.truncate(0);
				size = 0;
			}),
		close: () =>
			stored(async () => {
				try {
					access.flush();
				} finally {
					access.close();
				}
			}),
	};
}

/** On pages: the browser writes aside, and `close` puts it in place. */
function streamSink(begun: number, stream: FileSystemWritableFileStream): OpenSink {
	let size = begun;
	let failed = false;
	return {
		get size() {
			return size;
		},
		lasting: true,
		append: (data) =>
			stored(async () => {
				failed = true;
				await stream.write({ type: "write", position: size, data });
				failed = false;
				size += data.length;
			}, size + data.length),
		clear: () =>
			stored(async () => {
				await stream.truncate(0);
				size = 0;
			}),
		// One that has failed leaves the file as it was; it cannot be closed, but holds on to the file.
		close: () => stored(() => (failed ? stream.abort().catch(() => undefined) : stream.close()), size),
	};
}

function memoryFolder(): ModelFolder {
	const files = new Map<string, BlobPart[]>();
	let manifest: Manifest | undefined;
	return {
		readManifest: async () => manifest,
		writeManifest: async (next) => {
			manifest = next;
		},
		async file(name) {
			const parts = files.get(name);
			return parts && new File(parts, name);
		},
		async openSink(name) {
			const parts = files.get(name) ?? [];
			files.set(name, parts);
			let size = new Blob(parts).size;
			return {
				get size() {
					return size;
				},
				lasting: false,
				async append(bytes) {
					// A Blob of its own: browsers keep large ones out of a page's memory.
					parts.push(new Blob([bytes]));
					size += bytes.length;
				},
				async clear() {
					parts.length = 0;
					size = 0;
				},
				close: async () => undefined,
			};
		},
	};
}

function checkedManifest(value: unknown): Manifest | undefined {
	const { name, complete, files } = (value ?? {}) as Partial<Manifest>;
	const valid =
		typeof name === "string" &&
		typeof complete === "boolean" &&
		Array.isArray(files) &&
		files.every((file) => typeof file?.name === "string" && typeof file.url === "string");
	return valid ? (value as Manifest) : undefined;
}

/** The storage's errors in words, with what there is room for when there is not enough. */
async function stored<T>(action: () => Promise<T>, needed?: number): Promise<T> {
	try {
		return await action();
	} catch (cause) {
		if (!isNamed(cause, "QuotaExceededError")) {
			const reason = cause instanceof Error ? cause.message : String(cause);
			const problem = `storage: the browser's storage for this site failed (${reason}). Try again.`;
			throw new TokError("lm", problem, { cause });
		}
		const { usage, quota } = (await globalThis.navigator?.storage?.estimate?.().catch(() => undefined)) ?? {};
		throw new TokError(
			"lm",
			`storage: expected room for ${needed ?? "more"} bytes, got none: the browser grants this site ` +
				`${quota ?? "some"} bytes, of which ${usage ?? "too many"} are taken. Remove stored models, or free space on ` +
				"the disk.",
			{ cause },
		);
	}
}

function isNamed(error: unknown, name: string): boolean {
	return error instanceof Error && error.name === name;
}
