/**
 * Blocks of zeros in files, mapped into memory: the system fetches a page when it is read, and may drop it again when it
 * wants the memory. A file loses its name as soon as it is open, so that nothing is left behind however a process ends.
 */
import { constants } from "node:buffer";
import { randomUUID } from "node:crypto";
import { closeSync, existsSync, mkdirSync, openSync, unlinkSync, writeSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join, resolve } from "node:path";
import { getSystemErrorName } from "node:util";
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

/**
 * Unmaps blocks that are garbage: those that nobody has freed, and before Node 21 all. The module's, though it is state:
 * a registry that goes with its runtime never calls.
 */
const forgotten = new FinalizationRegistry<() => void>((unmap) => unmap());

/** Blocks in files of one folder, until one of them cannot be had. */
export class MappedFiles implements DiskBlocks {
	readonly #folder: string;
	readonly #onFailure: (error: TokError) => void;
	readonly #system: SystemCalls;
	#works = true;
	readonly #mappings = new WeakMap<ArrayBuffer, Mapping>();

	/**
	 * Makes the folder. Throws where files cannot be mapped at all.
	 *
	 * @param onFailure Told once, of the first file that could not be had; there are no further ones.
	 */
	constructor(folder: string, onFailure: (error: TokError) => void) {
		this.#system = systemCalls();
		this.#folder = resolve(folder);
		this.#onFailure = onFailure;
		try {
			makeFolder(this.#folder);
		} catch (cause) {
			this.#fail(cause);
		}
	}

	get works(): boolean {
		return this.#works;
	}

	/** Throws when there is none, and a RangeError when the engine has no arrays of that length. */
	allocate(bytes: number): Uint8Array<ArrayBuffer> {
		if (bytes === 0) return new Uint8Array();
		// Node 20 ends the process over a view that is too long.
		if (bytes > constants.MAX_LENGTH) throw new RangeError(`${bytes} bytes are too many for an array`);
		try {
			return new Uint8Array(this.#map(bytes));
		} catch (cause) {
			throw this.#fail(cause);
		}
	}

	free(block: Uint8Array<ArrayBuffer>): void {
		const { buffer } = block;
		const mapping = this.#mappings.get(buffer);
		freeArray(block);
		// Before Node 21 views of it stay as they are, and whoever reads one must find the memory there.
		if (mapping === undefined || buffer.byteLength > 0) return;
		this.#mappings.delete(buffer);
		forgotten.unregister(buffer);
		this.#system.munmap(mapping);
	}

	#map(bytes: number): ArrayBuffer {
		const system = this.#system;
		const path = join(this.#folder, `tok-${randomUUID()}.values`);
		const file = openSync(path, "wx+", 0o600);
		try {
			unlinkSync(path);
			reserve(file, bytes);
			const mapping = { address: system.mmap(file, bytes), bytes };
			const buffer = viewOf(system, mapping);
			this.#mappings.set(buffer, mapping);
			forgotten.register(buffer, () => system.munmap(mapping), buffer);
			return buffer;
		} finally {
			closeSync(file);
		}
	}

	#fail(cause: unknown): TokError {
		this.#works = false;
		const error = new TokError(
			"runtime-cpu",
			`disk: expected to write files into ${this.#folder} and map them, got ${(cause as Error).message}. ` +
				"What an archive holds is kept in memory from here on. Name another folder to change that.",
			{ cause },
		);
		this.#onFailure(error);
		return error;
	}
}

/**
 * With those that it lies in. Not by Node's `recursive`, which for a folder in /proc never returns, at full load (20.20
 * and 24.21 were seen to): to go when it does.
 */
function makeFolder(path: string): void {
	if (existsSync(path)) return;
	makeFolder(dirname(path));
	try {
		mkdirSync(path);
	} catch (error) {
		// Another process may have been first.
		if (!existsSync(path)) throw error;
	}
}

/** Some engines allow no views of memory that is not theirs. */
function viewOf(system: SystemCalls, mapping: Mapping): ArrayBuffer {
	try {
		return system.view(mapping);
	} catch (error) {
		system.munmap(mapping);
		throw error;
	}
}

/** Writes zeros: a disk that has no room says so here, and not by a signal once a page is written. */
function reserve(file: number, bytes: number): void {
	const zeros = new Uint8Array(Math.min(bytes, PART));
	for (let at = 0; at < bytes; ) at += writeSync(file, zeros, 0, Math.min(PART, bytes - at), at);
}

interface SystemCalls {
	/** Throws when the system maps no such file. */
	mmap(file: number, bytes: number): bigint;
	munmap(mapping: Mapping): void;
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
			if (BigInt.asIntN(64, address) === -1n)
				throw new Error(`${getSystemErrorName(-koffi.errno())} of mmap`);
			// What a step reads lies anywhere: pages beside it are not worth fetching.
			madvise(address, bytes, MADV_RANDOM);
			return address;
		},
		munmap({ address, bytes }) {
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
