/**
 * Fetches one file into a model's folder, going on with what an earlier try has left. Its checksum, if one is known, is
 * computed as the bytes come, and noted: it is not computed again.
 */
import { TokError } from "@tok/runtime";
import { platform } from "#platform";
import type { Sha256 } from "../../platform/platform.ts";
import { toHex } from "../../sha256.ts";
import { type ByteSink, fetchBytes } from "../fetch-bytes.ts";
import type { KeptFile, ModelFolder } from "./model-folder.ts";
import type { RemoteModelFile } from "./model-place.ts";

export interface FileTask {
	readonly headers: Readonly<Record<string, string>>;
	readonly fetch?: typeof fetch;
	readonly signal?: AbortSignal;
	readonly retryDelay?: number;
	/** Writes down what is known of the file by now. */
	note(file: KeptFile): Promise<void>;
	onBytes(loaded: number, size: number | undefined): void;
}

/** Bytes of a kept part that are hashed at a time. */
const PIECE = 1 << 22;

/** A file that was fetched from elsewhere, or is to have another checksum by now, is another one. */
export function isSame(kept: KeptFile, wanted: Pick<RemoteModelFile, "url" | "sha256">): boolean {
	return kept.url === wanted.url && (wanted.sha256 === undefined || kept.sha256 === wanted.sha256);
}

/** `before` is what is known of what an earlier try has left. Rejects with a TokError, or the signal's reason. */
export async function fetchFile(
	folder: ModelFolder,
	wanted: RemoteModelFile,
	before: KeptFile,
	task: FileTask,
): Promise<File> {
	const { name, url, sha256 } = wanted;
	const there = await folder.file(name);
	if (there && before.complete && there.size === before.size && isSame(before, wanted)) return there;
	let kept: KeptFile = { ...before, sha256: undefined, complete: false };
	// The old half may be what is wrong: then once more from the first byte.
	for (let resumed = (there?.size ?? 0) > 0; ; resumed = false) {
		const digest = await fetchInto(folder, wanted, kept, {
			...task,
			note: async (file) => {
				kept = file;
				await task.note(file);
			},
		});
		if (digest === sha256) break;
		await empty(folder, name);
		if (!resumed) throw new TokError("lm", `${url}: expected sha256 ${sha256}, got other bytes. Try again.`);
	}
	const file = await folder.file(name);
	if (file === undefined) throw new TokError("lm", `${url}: what was fetched has been removed meanwhile.`);
	await checkStart(folder, file, wanted);
	await task.note({ ...kept, size: file.size, sha256, complete: true });
	return file;
}

/** The SHA-256 of what is there then; undefined when nobody knows what it should be. */
async function fetchInto(
	folder: ModelFolder,
	{ name, url, size, sha256 }: RemoteModelFile,
	before: KeptFile,
	{ headers, fetch = globalThis.fetch, signal, retryDelay, note, onBytes }: FileTask,
): Promise<string | undefined> {
	const part = await folder.file(name);
	const hash = sha256 === undefined || part === undefined ? new Hash() : await hashOf(part, signal);
	const sink = await folder.openSink(name);
	try {
		await fetchBytes(
			{
				url,
				headers,
				size,
				before,
				changes: sha256 !== undefined ? "checksum" : isOurs(url) ? "server" : "answers",
				fetch: readable(fetch),
				...(signal && { signal }),
				...(retryDelay !== undefined && { retryDelay }),
				onAnswer: (file) => note({ ...before, ...file }),
				onBytes,
			},
			sha256 === undefined ? sink : hashed(sink, hash),
		);
	} finally {
		await sink.close();
	}
	return sha256 && hash.digest();
}

/** Across origins a browser asks before it sends `If-Range`, and servers of files say no. */
function isOurs(url: string): boolean {
	const { location } = globalThis as { location?: Location };
	return location === undefined || new URL(url).origin === location.origin;
}

/** A browser does not tell a page why it cannot fetch. */
function readable(fetch: typeof globalThis.fetch): typeof globalThis.fetch {
	return async (input, init) => {
		try {
			return await fetch(input, init);
		} catch (error) {
			if (!(error instanceof TypeError)) throw error;
			const why = "the server cannot be reached, or does not let this page read it (CORS)";
			throw new Error(`${why}: ${error.message}`);
		}
	};
}

/** A digest that can begin anew. */
class Hash {
	#hash: Sha256 = platform.createSha256();

	update(bytes: Uint8Array): void {
		this.#hash.update(bytes);
	}

	clear(): void {
		this.#hash = platform.createSha256();
	}

	digest(): string {
		return toHex(this.#hash.digest());
	}
}

async function hashOf(part: File, signal: AbortSignal | undefined): Promise<Hash> {
	const hash = new Hash();
	for (let at = 0; at < part.size; at += PIECE) {
		signal?.throwIfAborted();
		hash.update(new Uint8Array(await part.slice(at, at + PIECE).arrayBuffer()));
	}
	return hash;
}

function hashed(sink: ByteSink, hash: Hash): ByteSink {
	return {
		get size() {
			return sink.size;
		},
		lasting: sink.lasting,
		async append(bytes) {
			await sink.append(bytes);
			hash.update(bytes);
		},
		async clear() {
			await sink.clear();
			hash.clear();
		},
	};
}

/** Servers of single-page apps answer with a page where there is no file: that is not to be kept. */
async function checkStart(folder: ModelFolder, file: File, { name, url }: RemoteModelFile): Promise<void> {
	if (!name.toLowerCase().endsWith(".gguf")) return;
	const start = new Uint8Array(await file.slice(0, 4).arrayBuffer());
	if (String.fromCharCode(...start) === "GGUF") return;
	await empty(folder, name);
	const got = toHex(start).replace(/..(?=.)/g, "$& ") || "nothing";
	throw new TokError(
		"lm",
		`${url}: expected a GGUF file (it begins with 47 47 55 46), got ${got}; check the URL`,
	);
}

async function empty(folder: ModelFolder, name: string): Promise<void> {
	const sink = await folder.openSink(name);
	try {
		await sink.clear();
	} finally {
		await sink.close();
	}
}
