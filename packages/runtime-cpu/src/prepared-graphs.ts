/**
 * Graphs kept on disk, so that a later start neither reads a model's tensors nor builds its graph: the model as it was
 * made, and its weights as files that onnxruntime maps. Any processor and any version of onnxruntime reads them.
 *
 * A graph is a folder, named by a digest of its key. It is written aside and renamed, and its manifest has the length
 * and the CRC-32 of every file: what is cut or altered is not found, and is written again. Whatever the disk refuses,
 * the graph is loaded without.
 */
import { createHash } from "node:crypto";
import {
	closeSync,
	mkdirSync,
	mkdtempSync,
	openSync,
	readdirSync,
	readFileSync,
	readSync,
	renameSync,
	rmSync,
	statSync,
	utimesSync,
	writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { crc32 } from "node:zlib";
import type { GraphFile } from "@tok/runtime";
import { ABANDONED, attempt } from "./weight-files.ts";

const MODEL = "model.onnx";
const MANIFEST = "manifest.json";
/** What is being written. A process that is killed leaves it to a later one. */
const DRAFT = "draft-";
/** Names of graphs. Nothing else in the folder is touched. */
const NAME = /^[0-9a-f]{40}$/;
/** Bytes that all graphs may take together; those that were used last stay, and the newest one whatever its size. */
const MOST = 4 * 2 ** 30;
/** Milliseconds after which a graph that nobody has used goes. */
const FORGOTTEN = 30 * 86_400_000;
/** Bytes that are read and checked at a time. */
const PART = 2 ** 20;

/** A graph as onnxruntime takes it. */
export interface LoadableGraph {
	readonly model: Uint8Array;
	/** In memory, or the folder below which their paths lead to files. */
	readonly weights: string | NonNullable<GraphFile["weights"]>;
}

interface Manifest {
	readonly key: string;
	readonly files: readonly (readonly [path: string, bytes: number, crc32: number])[];
}

export class PreparedGraphs {
	readonly #folder: string;

	constructor(folder: string) {
		this.#folder = folder;
	}

	/** Undefined when there is none under the key, or not all of it is as it was written. */
	find(key: string): LoadableGraph | undefined {
		const folder = this.#folderOf(key);
		try {
			const manifest = readManifest(folder);
			if (manifest.key !== key || !manifest.files.some(([path]) => path === MODEL)) return undefined;
			const part = Buffer.allocUnsafe(PART);
			for (const [path, bytes, checksum] of manifest.files)
				if (!isWhole(join(folder, path), bytes, checksum, part)) return undefined;
			const now = new Date();
			attempt(() => utimesSync(join(folder, MANIFEST), now, now));
			return { model: readFileSync(join(folder, MODEL)), weights: folder };
		} catch {
			return undefined;
		}
	}

	/** Undefined when it cannot be kept. */
	keep(key: string, { model, weights = [] }: GraphFile): LoadableGraph | undefined {
		let draft: string | undefined;
		try {
			mkdirSync(this.#folder, { recursive: true });
			attempt(() => this.#tidy());
			draft = mkdtempSync(join(this.#folder, DRAFT));
			const files: [string, number, number][] = [];
			for (const { path, data } of [{ path: MODEL, data: model }, ...weights]) {
				mkdirSync(dirname(join(draft, path)), { recursive: true });
				writeFileSync(join(draft, path), data);
				files.push([path, data.byteLength, crc32(data)]);
			}
			writeFileSync(join(draft, MANIFEST), JSON.stringify({ key, files } satisfies Manifest));
			return this.#publish(key, draft);
		} catch {
			return undefined;
		} finally {
			attempt(() => draft !== undefined && rmSync(draft, { recursive: true, force: true }));
		}
	}

	/** Gives a draft its name. What another process has written meanwhile is as good; what is damaged makes way. */
	#publish(key: string, draft: string): LoadableGraph | undefined {
		const target = this.#folderOf(key);
		try {
			renameSync(draft, target);
		} catch {
			const theirs = this.find(key);
			if (theirs !== undefined) return theirs;
			rmSync(target, { recursive: true, force: true });
			renameSync(draft, target);
		}
		return { model: readFileSync(join(target, MODEL)), weights: target };
	}

	remove(key: string): void {
		attempt(() => rmSync(this.#folderOf(key), { recursive: true, force: true }));
	}

	#folderOf(key: string): string {
		return join(this.#folder, createHash("sha256").update(key).digest("hex").slice(0, 40));
	}

	/** Removes abandoned drafts, graphs that are long unused, and the longest unused of those beyond the limit. */
	#tidy(): void {
		const graphs: { path: string; used: number; bytes: number }[] = [];
		for (const name of readdirSync(this.#folder)) {
			const path = join(this.#folder, name);
			attempt(() => {
				if (name.startsWith(DRAFT)) {
					if (age(statSync(path).mtimeMs) > ABANDONED) rmSync(path, { recursive: true, force: true });
				} else if (NAME.test(name)) graphs.push({ path, ...usage(path) });
			});
		}
		let bytes = 0;
		for (const graph of graphs.sort((a, b) => b.used - a.used)) {
			bytes += graph.bytes;
			if (bytes > MOST || age(graph.used) > FORGOTTEN)
				attempt(() => rmSync(graph.path, { recursive: true, force: true }));
		}
	}
}

function age(time: number): number {
	return Date.now() - time;
}

function readManifest(folder: string): Manifest {
	return JSON.parse(readFileSync(join(folder, MANIFEST), "utf8")) as Manifest;
}

/** A graph without a manifest that can be read was never used. */
function usage(folder: string): { used: number; bytes: number } {
	try {
		const bytes = readManifest(folder).files.reduce((sum, [, length]) => sum + length, 0);
		return { used: statSync(join(folder, MANIFEST)).mtimeMs, bytes };
	} catch {
		return { used: 0, bytes: 0 };
	}
}

/** Reads the file in parts: its pages belong to the system then, not to this process. */
function isWhole(path: string, bytes: number, checksum: number, part: Buffer): boolean {
	const descriptor = openSync(path, "r");
	try {
		let length = 0;
		let sum = 0;
		for (let read = 0; ; length += read) {
			read = readSync(descriptor, part);
			if (read === 0) return length === bytes && sum === checksum;
			sum = crc32(part.subarray(0, read), sum);
		}
	} finally {
		closeSync(descriptor);
	}
}
