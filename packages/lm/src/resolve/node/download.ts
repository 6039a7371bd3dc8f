/**
 * Fetches one file: resumes what an earlier try left (HTTP Range, RFC 9110 §14), tries again when the connection
 * breaks, checks size and SHA-256, and only then gives the file its name.
 */
import { open } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import { TokError } from "@tok/runtime";
import { sha256OfFile } from "./checksum.ts";
import { PartFile } from "./part-file.ts";

export interface Download {
	readonly url: string;
	readonly headers?: Readonly<Record<string, string>>;
	/** Absolute path that the file gets once it is whole. */
	readonly target: string;
	/** Stands for the exact bytes (a checksum, an entity tag): a part of other bytes is never continued. */
	readonly key: string;
	/** Bytes. */
	readonly size: number;
	/** Lower-case hexadecimal. Undefined when the source does not tell; then only the size is checked. */
	readonly sha256: string | undefined;
	readonly fetch: typeof fetch;
	readonly signal?: AbortSignal;
	/** Called with the bytes that lie on disk. */
	readonly onBytes?: (loaded: number) => void;
	/** Milliseconds without a byte after which a connection counts as broken. Defaults to 20 000. */
	readonly stallTimeout?: number;
	/** Milliseconds before the first new try; doubles for each further one. Defaults to 500. */
	readonly retryDelay?: number;
}

/** Tries in a row that may bring nothing new; one that gets further starts the count anew. */
const maxFruitlessTries = 3;

/** Throws a TokError, or the signal's reason. What was fetched stays for the next call, unless it was wrong. */
export async function download(task: Download): Promise<void> {
	const part = await PartFile.claim(task.target, task.key);
	try {
		const resumed = (await part.size()) > 0;
		await fetchAll(part, task);
		if (!(await matches(part, task))) {
			await part.remove();
			if (!resumed) throw new TokError("lm", `${task.url}: expected sha256 ${task.sha256}, got other bytes.`);
			// The old half may be what was wrong: once more from the first byte.
			await fetchAll(part, task);
			if (!(await matches(part, task))) {
				await part.remove();
				throw new TokError("lm", `${task.url}: expected sha256 ${task.sha256}, got other bytes.`);
			}
		}
		await part.finish(task.target);
	} catch (error) {
		await part.release();
		throw error;
	}
}

async function matches(part: PartFile, task: Download): Promise<boolean> {
	return task.sha256 === undefined || (await sha256OfFile(part.path, task.signal)) === task.sha256;
}

async function fetchAll(part: PartFile, task: Download): Promise<void> {
	const file = await open(part.path, "a+");
	try {
		let loaded = (await file.stat()).size;
		if (loaded > task.size) {
			await file.truncate(0);
			loaded = 0;
		}
		let furthest = loaded;
		for (let fruitless = 0; loaded < task.size; ) {
			task.signal?.throwIfAborted();
			try {
				for await (const bytes of request(task, loaded, () => file.truncate(0))) {
					if (bytes === "restart") loaded = 0;
					else {
						await file.appendFile(bytes);
						loaded += bytes.length;
					}
					task.onBytes?.(loaded);
				}
				if (loaded < task.size) throw new Error(`the connection ended after ${loaded} of ${task.size} bytes`);
			} catch (error) {
				task.signal?.throwIfAborted();
				if (TokError.isInstance(error) || isLocal(error)) throw error;
				fruitless = loaded > furthest ? 1 : fruitless + 1;
				furthest = Math.max(furthest, loaded);
				if (fruitless >= maxFruitlessTries) {
					throw new TokError("lm", `${task.url}: ${reasonOf(error)}. What was fetched is kept; try again.`, {
						cause: error,
					});
				}
				await sleep((task.retryDelay ?? 500) * 2 ** (fruitless - 1), undefined, {
					...(task.signal && { signal: task.signal }),
				});
			}
		}
	} finally {
		await file.close();
	}
}

/** The body from byte `from` on; "restart" first when the server sends the whole file instead. */
async function* request(
	task: Download,
	from: number,
	restart: () => Promise<void>,
): AsyncGenerator<Uint8Array | "restart"> {
	const stalled = new AbortController();
	const stallTimeout = task.stallTimeout ?? 20_000;
	const timer = setTimeout(
		() => stalled.abort(new Error(`no byte came for ${Math.round(stallTimeout / 1000)} s`)),
		stallTimeout,
	);
	try {
		const response = await task.fetch(task.url, {
			headers: { ...task.headers, ...(from > 0 && { Range: `bytes=${from}-` }) },
			signal: AbortSignal.any([stalled.signal, ...(task.signal ? [task.signal] : [])]),
		});
		// A busy server is asked again; every other refusal is final.
		if (response.status === 429 || response.status >= 500) {
			await response.body?.cancel();
			throw new Error(`the server answered ${response.status}`);
		}
		if (!response.ok || response.body === null) {
			await response.body?.cancel();
			throw new TokError(
				"lm",
				`${task.url}: the server answered ${response.status} ${response.statusText}`.trimEnd(),
			);
		}
		const whole = response.status !== 206;
		if (!whole && !response.headers.get("content-range")?.startsWith(`bytes ${from}-`)) {
			await response.body.cancel();
			throw new TokError(
				"lm",
				`${task.url}: asked for byte ${from} on, got ${response.headers.get("content-range")}.`,
			);
		}
		if (whole && from > 0) {
			await restart();
			yield "restart";
		}
		let loaded = whole ? 0 : from;
		for await (const bytes of response.body) {
			timer.refresh();
			loaded += bytes.length;
			if (loaded > task.size) {
				throw new TokError("lm", `${task.url}: expected ${task.size} bytes, the server sends more.`);
			}
			yield bytes;
		}
	} finally {
		clearTimeout(timer);
	}
}

/** An error of this machine's file system, such as a full disk: asking the server again would not help. */
function isLocal(error: unknown): boolean {
	return (
		error instanceof Error && "syscall" in error && /^(write|open|ftruncate)$/.test(String(error.syscall))
	);
}

/** What went wrong in words: undici hides the reason of "fetch failed" in its cause. */
export function reasonOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	const { cause } = error;
	if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message;
	if (cause instanceof Error && cause.message !== "") return cause.message;
	return error.message;
}
