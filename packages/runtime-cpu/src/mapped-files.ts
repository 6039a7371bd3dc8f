/**
 * Blocks of zeros in files, mapped into memory: the system fetches a page when it is read, and may drop it again when it
 * wants the memory. A file has no name any more once it is mapped, so that nothing is left behind however a process ends.
 */
import { randomUUID } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, unlinkSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import type { DiskBlocks } from "@tok/onnxruntime";
import { freeArray, TokError } from "@tok/runtime";
import type Koffi from "koffi";

/** Of mmap(2) and madvise(2), the same on Linux and macOS. */
const PROT_READ_WRITE = 3;
const MAP_SHARED = 1;
const MADV_RANDOM = 1;

/** Zeros are written in parts of so many bytes. */
const PART = 2 ** 20;

interface Mapping {
	readonly address: bigint;
	readonly bytes: number;
}

export class MappedFiles implements DiskBlocks {
	readonly #folder: string;
	readonly #onFailure: (error: TokError) => void;
	readonly #system: SystemCalls;
	#works = true;
	readonly #mappings = new WeakMap<ArrayBuffer, Mapping>();
	/** Blocks that nobody has freed. */
	readonly #forgotten: FinalizationRegistry<Mapping>;

	/**
	 * Makes the folder. Throws where files cannot be mapped at all.
	 *
	 * @param onFailure Told once, of the first file that could not be made; there are no further ones.
	 */
	constructor(folder: string, onFailure: (error: TokError) => void) {
		const system = systemCalls();
		this.#system = system;
		this.#forgotten = new FinalizationRegistry(({ address, bytes }) => system.munmap(address, bytes));
		this.#folder = folder;
		this.#onFailure = onFailure;
		this.#attempt(() => makeFolder(resolve(folder)));
	}

	get works(): boolean {
		return this.#works;
	}

	allocate(bytes: number): Uint8Array<ArrayBuffer> {
		if (bytes === 0) return new Uint8Array();
		const mapping = this.#attempt(() => this.#map(bytes));
		if (mapping === undefined) throw new TokError("runtime-cpu", "disk: expected a file, got none.");
		const buffer = this.#system.view(mapping);
		this.#mappings.set(buffer, mapping);
		this.#forgotten.register(buffer, mapping, buffer);
		return new Uint8Array(buffer);
	}

	free(block: Uint8Array<ArrayBuffer>): void {
		const { buffer } = block;
		const mapping = this.#mappings.get(buffer);
		freeArray(block);
		// Before Node 21 views of it stay as they are, and whoever reads one must find the memory there.
		if (mapping === undefined || buffer.byteLength > 0) return;
		this.#mappings.delete(buffer);
		this.#forgotten.unregister(buffer);
		this.#system.munmap(mapping.address, mapping.bytes);
	}

	#map(bytes: number): Mapping {
		const path = join(this.#folder, `tok-${randomUUID()}.values`);
		const file = openSync(path, "wx+", 0o600);
		try {
			unlinkSync(path);
			reserve(file, bytes);
			return { address: this.#system.mmap(file, bytes), bytes };
		} finally {
			closeSync(file);
		}
	}

	#attempt<T>(action: () => T): T | undefined {
		try {
			return action();
		} catch (cause) {
			this.#works = false;
			this.#onFailure(
				new TokError(
					"runtime-cpu",
					`disk: expected to write files into ${this.#folder}, got ${(cause as Error).message}. ` +
						"What an archive holds is kept in memory from here on. Name a folder with room to change that.",
					{ cause },
				),
			);
			return undefined;
		}
	}
}

/** With those that it lies in. Node's own `recursive` never returns where the system makes none, as in /proc. */
function makeFolder(path: string): void {
	if (existsSync(path)) return;
	makeFolder(dirname(path));
	mkdirSync(path);
}

/** Writes zeros: a disk that has no room says so here, and not by a signal once a page is written. */
function reserve(file: number, bytes: number): void {
	const zeros = new Uint8Array(Math.min(bytes, PART));
	for (let at = 0; at < bytes; ) at += writeSync(file, zeros, 0, Math.min(PART, bytes - at), at);
}

interface SystemCalls {
	/** Throws when the system maps no such file. */
	mmap(file: number, bytes: number): bigint;
	munmap(address: bigint, bytes: number): void;
	/** Without a copy. */
	view(mapping: Mapping): ArrayBuffer;
}

/** Node has none of them; koffi calls what the C library has. */
function systemCalls(): SystemCalls {
	if (process.platform === "win32")
		throw new TokError("runtime-cpu", "disk: expected Linux or macOS, got Windows. Leave the option out.");
	const koffi = loadKoffi();
	const library = koffi.load(null);
	const mmap = library.func(
		"void *mmap(void *address, size_t length, int protection, int flags, int file, int64_t offset)",
	);
	const munmap = library.func("int munmap(void *address, size_t length)");
	const madvise = library.func("int madvise(void *address, size_t length, int advice)");
	return {
		mmap(file, bytes) {
			const address: bigint = mmap(null, bytes, PROT_READ_WRITE, MAP_SHARED, file, 0);
			if (BigInt.asIntN(64, address) === -1n) throw new Error(`mmap: error ${koffi.errno()}`);
			// What a step reads lies anywhere: pages beside it are not worth fetching.
			madvise(address, bytes, MADV_RANDOM);
			return address;
		},
		munmap(address, bytes) {
			munmap(address, bytes);
		},
		view: ({ address, bytes }) => koffi.view(address, bytes),
	};
}

function loadKoffi(): typeof Koffi {
	try {
		return createRequire(import.meta.url)("koffi");
	} catch (cause) {
		throw new TokError(
			"runtime-cpu",
			`disk: expected the package koffi, which maps files, got ${(cause as Error).message.split("\n")[0]}. ` +
				"Install it beside this one, or leave the option out.",
			{ cause },
		);
	}
}
