/**
 * A browser's origin-private file system, for tests in Node: as workers have it, with handles that write in place, or
 * as pages do, where a stream writes aside and its end puts the file in place.
 */
import { vi } from "vitest";

export interface FakeStorage {
	/** Bytes that fit. */
	quota: number;
	/** Paths of all files. */
	paths(): string[];
	file(path: string): Uint8Array | undefined;
}

type Entry = Folder | { bytes: Uint8Array<ArrayBuffer> };
type Folder = Map<string, Entry>;

/** Puts it in the globals, until `vi.unstubAllGlobals`. */
export function stubStorage(kind: "worker" | "page"): FakeStorage {
	const root: Folder = new Map();
	const storage: FakeStorage = {
		quota: Number.POSITIVE_INFINITY,
		paths: () => [...walk(root)].map(([path]) => path),
		file: (path) => new Map(walk(root)).get(path),
	};
	const used = (): number => [...walk(root)].reduce((sum, [, bytes]) => sum + bytes.length, 0);
	/** `kept` are the bytes that stay beside it meanwhile. */
	const resized = (bytes: Uint8Array, size: number, kept = -bytes.length): Uint8Array<ArrayBuffer> => {
		if (used() + size + kept > storage.quota)
			throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
		const next = new Uint8Array(size);
		next.set(bytes.subarray(0, size));
		return next;
	};
	const put = (to: Uint8Array, at: number, bytes: Uint8Array, kept?: number): Uint8Array<ArrayBuffer> => {
		const next = resized(to, Math.max(to.length, at + bytes.length), kept);
		next.set(bytes, at);
		return next;
	};
	class FileHandle {
		readonly kind = "file";
		readonly #name: string;
		readonly #entry: { bytes: Uint8Array<ArrayBuffer>; locked?: boolean };
		constructor(name: string, entry: { bytes: Uint8Array<ArrayBuffer> }) {
			this.#name = name;
			this.#entry = entry;
		}
		async getFile(): Promise<File> {
			return new File([this.#entry.bytes], this.#name);
		}
		async createSyncAccessHandle() {
			const entry = this.#entry;
			if (entry.locked)
				throw new DOMException("Access Handles cannot be created", "NoModificationAllowedError");
			entry.locked = true;
			return {
				getSize: () => entry.bytes.length,
				write(bytes: Uint8Array, { at }: { at: number }) {
					try {
						entry.bytes = put(entry.bytes, at, bytes);
					} catch {
						// As Chromium has it: −8 as an unsigned number.
						return 2 ** 32 - 8;
					}
					return bytes.length;
				},
				truncate(size: number) {
					entry.bytes = resized(entry.bytes, size);
				},
				flush: () => undefined,
				close() {
					entry.locked = false;
				},
			};
		}
		async createWritable() {
			const entry = this.#entry;
			let { bytes } = entry;
			let failed = false;
			return {
				async write({ position, data }: { position: number; data: Uint8Array }) {
					try {
						bytes = put(bytes, position, data, 0);
					} catch (error) {
						failed = true;
						throw error;
					}
				},
				async truncate(size: number) {
					bytes = resized(bytes, size, 0);
				},
				abort: async () => undefined,
				async close() {
					if (failed) throw new TypeError("Cannot close an errored stream");
					entry.bytes = bytes;
				},
			};
		}
	}
	class FolderHandle {
		readonly kind = "directory";
		readonly #folder: Folder;
		constructor(folder: Folder) {
			this.#folder = folder;
		}
		async getDirectoryHandle(name: string, { create }: { create?: boolean } = {}) {
			return new FolderHandle(this.#entry(name, create, () => new Map()) as Folder);
		}
		async getFileHandle(name: string, { create }: { create?: boolean } = {}) {
			const entry = this.#entry(name, create, () => ({ bytes: new Uint8Array(0) }));
			return new FileHandle(name, entry as { bytes: Uint8Array<ArrayBuffer> });
		}
		async removeEntry(name: string) {
			if (!this.#folder.delete(name)) throw new DOMException("not there", "NotFoundError");
		}
		async *values() {
			for (const [name, entry] of this.#folder)
				yield entry instanceof Map ? new FolderHandle(entry) : new FileHandle(name, entry);
		}
		#entry(name: string, create: boolean | undefined, make: () => Entry): Entry {
			const entry = this.#folder.get(name) ?? (create ? make() : undefined);
			if (entry === undefined) throw new DOMException("not there", "NotFoundError");
			this.#folder.set(name, entry);
			return entry;
		}
	}
	Reflect.deleteProperty(
		FileHandle.prototype,
		kind === "worker" ? "createWritable" : "createSyncAccessHandle",
	);
	vi.stubGlobal("FileSystemFileHandle", FileHandle);
	vi.stubGlobal("navigator", {
		storage: {
			getDirectory: async () => new FolderHandle(root),
			estimate: async () => ({ usage: used(), quota: storage.quota }),
		},
		locks: fakeLocks(),
	});
	return storage;
}

function* walk(folder: Folder, prefix = ""): Generator<[string, Uint8Array]> {
	for (const [name, entry] of folder)
		if (entry instanceof Map) yield* walk(entry, `${prefix}${name}/`);
		else yield [prefix + name, entry.bytes];
}

function fakeLocks() {
	const last = new Map<string, Promise<unknown>>();
	return {
		request(name: string, _: unknown, action: () => Promise<unknown>): Promise<unknown> {
			const before = last.get(name) ?? Promise.resolve();
			const result = before.catch(() => undefined).then(action);
			last.set(name, result);
			return result;
		},
	};
}
