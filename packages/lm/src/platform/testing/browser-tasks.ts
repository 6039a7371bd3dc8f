/** What browser tests do both on a page and in a worker: plain values in, plain values out. */

import { openBytes } from "../../formats/open-bytes.ts";
import { inspectModel, type ModelReport } from "../../inspect-model.ts";
import type { Progress } from "../../model.ts";
import { cacheFolder } from "../../resolve/cache-folder.ts";
import { resolveModel } from "../../resolve/resolve-model.ts";
import type { StoredModel } from "../../resolve/stored-models.ts";
import { platform } from "../browser.ts";

/** How a faked server answers. */
export interface FakeServer {
	readonly content: Blob;
	readonly tag: string;
	/** Bytes after which the first answer hangs. Defaults to none. */
	readonly hangAfter?: number;
}

/** What came of fetching a model. */
export interface Fetched {
	/** Its path, or the error. */
	readonly outcome: string;
	readonly seen: readonly Progress[];
	/** Of each request. */
	readonly ranges: readonly (string | null)[];
}

export const tasks = {
	/** Every 64 KiB of a Blob: how much of it was in memory at a time, and its SHA-256. */
	async digest(blob: Blob): Promise<{ most: number; digest: Uint8Array; path: string }> {
		const source = await openBytes(blob);
		const sizes: number[] = [];
		const hash = platform.createSha256();
		for (let at = 0; at < source.size; at += 65_536) {
			const bytes = source.read(at, Math.min(65_536, source.size - at));
			sizes.push(bytes.buffer.byteLength);
			hash.update(bytes);
		}
		source.close();
		return { most: Math.max(...sizes), digest: hash.digest(), path: source.path };
	},

	/** A part of a Blob that could not be held as a whole. */
	async part(blob: Blob, offset: number, length: number): Promise<Uint8Array> {
		const source = await openBytes(blob);
		return source.read(offset, length);
	},

	/** Fetches a model from a faked server; aborts once so many bytes have come. */
	async fetch(url: string, server: FakeServer, abortAt?: number): Promise<Fetched> {
		const controller = new AbortController();
		const seen: Progress[] = [];
		const ranges: (string | null)[] = [];
		const fetch = async (_: unknown, init?: RequestInit): Promise<Response> => {
			ranges.push(new Headers(init?.headers).get("range"));
			return answer(server, new Headers(init?.headers), init?.signal ?? undefined);
		};
		const outcome = await resolveModel(url, {
			fetch,
			signal: controller.signal,
			onProgress(progress) {
				seen.push(progress);
				if (abortAt !== undefined && progress.loaded >= abortAt) controller.abort(new Error("enough"));
			},
		}).then(
			({ path }) => path,
			(error: Error) => error.message,
		);
		return { outcome, seen, ranges };
	},

	async storedModels(): Promise<StoredModel[]> {
		return platform.storedModels();
	},

	async removeStoredModel(name: string): Promise<void> {
		await platform.removeStoredModel(name);
	},

	/** As `fetch` without room for more than so many bytes in one file. */
	async fetchWithoutRoom(url: string, server: FakeServer, room: number): Promise<Fetched> {
		const undo = limitRoom(room);
		try {
			return await tasks.fetch(url, server);
		} finally {
			undo();
		}
	},

	/** What a model's files say, and what this platform has no folder for. */
	async inspect(source: string | readonly File[]): Promise<ModelReport & { folder: string }> {
		return { ...(await inspectModel(source)), folder: await (async () => cacheFolder())().catch(String) };
	},
};

function answer({ content, tag, hangAfter }: FakeServer, asked: Headers, signal?: AbortSignal): Response {
	const [, from] = /^bytes=(\d+)-$/.exec(asked.get("range") ?? "") ?? [];
	const condition = asked.get("if-range");
	const part = from !== undefined && (condition === null || condition === tag);
	const start = part ? Number(from) : 0;
	const headers = {
		etag: tag,
		"content-length": String(content.size - start),
		...(part && { "content-range": `bytes ${start}-${content.size - 1}/${content.size}` }),
	};
	const reader = content.slice(start).stream().getReader();
	let sent = start;
	const body = new ReadableStream<Uint8Array<ArrayBuffer>>({
		async pull(controller) {
			if (hangAfter !== undefined && sent >= hangAfter)
				return new Promise((_, reject) => signal?.addEventListener("abort", () => reject(signal.reason)));
			const { done, value } = await reader.read();
			if (done) return controller.close();
			sent += value.length;
			controller.enqueue(value as Uint8Array<ArrayBuffer>);
		},
	});
	return new Response(body, { status: part ? 206 : 200, headers });
}

/** A quota that a test can set: the browser's own is gigabytes. */
function limitRoom(room: number): () => void {
	const full = (): never => {
		throw new DOMException("The quota has been exceeded.", "QuotaExceededError");
	};
	const { FileSystemSyncAccessHandle: handles, FileSystemWritableFileStream: streams } =
		globalThis as unknown as {
			FileSystemSyncAccessHandle?: {
				prototype: { write(bytes: Uint8Array, options: { at: number }): number };
			};
			FileSystemWritableFileStream: { prototype: { write(options: { position: number }): Promise<void> } };
		};
	if (handles !== undefined) {
		const { write } = handles.prototype;
		handles.prototype.write = function (bytes, options) {
			return options.at >= room ? full() : write.call(this, bytes, options);
		};
		return () => {
			handles.prototype.write = write;
		};
	}
	const { write } = streams.prototype;
	streams.prototype.write = async function (options) {
		return options.position >= room ? full() : write.call(this, options);
	};
	return () => {
		streams.prototype.write = write;
	};
}
