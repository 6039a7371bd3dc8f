/**
 * Fetches the bytes of one file into whatever keeps them: goes on where an earlier try stopped (HTTP Range, RFC 9110
 * §14), begins anew when the file has changed meanwhile, and tries again when the connection breaks.
 */
import { TokError } from "@tok/runtime";

/** What keeps the bytes. */
export interface ByteSink {
	/** Bytes that it holds. */
	readonly size: number;
	/** Whether they are there for the next try, too. */
	readonly lasting: boolean;
	append(bytes: Uint8Array<ArrayBuffer>): Promise<void>;
	clear(): Promise<void>;
}

/** What a server says of a file. */
export interface RemoteFile {
	/** Bytes. */
	readonly size: number | undefined;
	/** Its entity tag or the date of its last change: another one, another file. */
	readonly validator: string | undefined;
}

export interface Fetching {
	readonly url: string;
	/** Bytes, when they are known for sure; else an answer tells them, if anything does. */
	readonly size: number | undefined;
	readonly headers?: Readonly<Record<string, string>>;
	/** What the server said when the bytes that the sink holds were sent. Defaults to nothing. */
	readonly before?: RemoteFile;
	/**
	 * How it comes out that the file has changed between two tries: by a checksum, later; by what the answers say; or by
	 * the server, which is sent `If-Range`, for which a browser would have to ask another origin's leave.
	 */
	readonly changes: "checksum" | "answers" | "server";
	readonly fetch: typeof fetch;
	readonly signal?: AbortSignal;
	/** Called with what each answer says, before its body is read. */
	readonly onAnswer?: (file: RemoteFile) => Promise<void>;
	/** Called with the bytes that the sink holds, the first time before any body is read. */
	readonly onBytes?: (loaded: number, size: number | undefined) => void;
	/** Milliseconds without a byte after which a connection counts as broken. Defaults to 20 000. */
	readonly stallTimeout?: number;
	/** Milliseconds before the first new try; doubles for each further one. Defaults to 500. */
	readonly retryDelay?: number;
}

/** Tries in a row that may bring nothing new; one that gets further starts the count anew. */
const maxFruitlessTries = 3;

/** An error of what keeps the bytes, such as a full disk: asking the server again would not help. */
class SinkError extends Error {}

/** Rejects with a TokError, what the sink throws, or the signal's reason. What was fetched stays in the sink. */
export async function fetchBytes(task: Fetching, sink: ByteSink): Promise<void> {
	let known = task.before ?? { size: task.size, validator: undefined };
	if (task.size !== undefined && sink.size > task.size) await sink.clear();
	let furthest = sink.size;
	for (let fruitless = 0, done = sink.size === task.size; !done; ) {
		task.signal?.throwIfAborted();
		try {
			await request(task, known, sink, async (file) => {
				const validator = task.changes === "checksum" ? undefined : (file.validator ?? known.validator);
				known = { size: task.size ?? file.size, validator };
				await task.onAnswer?.(known);
				task.onBytes?.(sink.size, known.size);
			});
			// A server that tells no size ends when it ends.
			done = known.size === undefined || sink.size === known.size;
			if (!done) throw new Error(`the connection ended after ${sink.size} of ${known.size} bytes`);
		} catch (error) {
			task.signal?.throwIfAborted();
			if (error instanceof SinkError) throw error.cause;
			if (TokError.isInstance(error)) throw error;
			fruitless = sink.size > furthest ? 1 : fruitless + 1;
			furthest = Math.max(furthest, sink.size);
			if (fruitless >= maxFruitlessTries) {
				const kept = sink.lasting && sink.size > 0 ? "What was fetched is kept; try again." : "Try again.";
				throw new TokError("lm", `${task.url}: ${reasonOf(error)}. ${kept}`, { cause: error });
			}
			await pause((task.retryDelay ?? 500) * 2 ** (fruitless - 1), task.signal);
		}
	}
}

/** One answer's body, appended to what the sink holds, or in its place when the server sends the whole file. */
async function request(
	task: Fetching,
	known: RemoteFile,
	sink: ByteSink,
	onAnswer: (file: RemoteFile) => Promise<void>,
): Promise<void> {
	const watch = stallWatch(task.stallTimeout ?? 20_000);
	// Called by itself: a browser's fetch is no method of another object.
	const { fetch, signal, url } = task;
	try {
		const response = await fetch(url, {
			headers: {
				...task.headers,
				...rangeHeaders(sink.size, task.changes === "server" ? known.validator : undefined),
			},
			signal: AbortSignal.any([watch.signal, ...(signal ? [signal] : [])]),
		});
		const { body } = response;
		try {
			await checkAnswer(response, url, known, sink);
			if (body === null) throw new Error("the server sent no bytes");
			await onAnswer(describe(response, sink.size));
			signal?.throwIfAborted();
		} catch (error) {
			await body?.cancel();
			throw error;
		}
		const limit = task.size ?? describe(response, sink.size).size;
		const reader = body.getReader();
		try {
			for (;;) {
				const { done, value } = await reader.read();
				if (done) return;
				watch.restart();
				if (limit !== undefined && sink.size + value.length > limit)
					throw new TokError("lm", `${url}: expected ${limit} bytes, the server sends more.`);
				await attempt(() => sink.append(value));
				task.onBytes?.(sink.size, limit);
				signal?.throwIfAborted();
			}
		} catch (error) {
			await reader.cancel().catch(() => {
				// It has failed already.
			});
			throw error;
		}
	} finally {
		watch.stop();
	}
}

function rangeHeaders(from: number, validator: string | undefined): Record<string, string> {
	if (from === 0) return {};
	// A weak tag has no place in If-Range; it is compared with the answer's.
	const strong = validator !== undefined && !validator.startsWith("W/");
	return { Range: `bytes=${from}-`, ...(strong && { "If-Range": validator }) };
}

/** Throws when the answer is no use; empties the sink when what it holds is of another file. */
async function checkAnswer(
	response: Response,
	url: string,
	known: RemoteFile,
	sink: ByteSink,
): Promise<void> {
	const { status, statusText, headers } = response;
	// A busy server is asked again; every other refusal is final.
	if (status === 429 || status >= 500) throw new Error(`the server answered ${status}`);
	const from = sink.size;
	if (status === 416 && from > 0) {
		await attempt(() => sink.clear());
		throw new Error(`the server has no byte ${from}`);
	}
	if (!response.ok) throw new TokError("lm", `${url}: the server answered ${status} ${statusText}`.trimEnd());
	if (status !== 206) {
		if (from > 0) await attempt(() => sink.clear());
		return;
	}
	const range = headers.get("content-range");
	// Another origin may not let it be seen.
	if (range !== null && !range.startsWith(`bytes ${from}-`))
		throw new TokError("lm", `${url}: asked for byte ${from} on, got ${range}.`);
	const { size, validator } = describe(response, from);
	const changed = (a: unknown, b: unknown): boolean => a !== undefined && b !== undefined && a !== b;
	if (changed(known.validator, validator) || changed(known.size, size)) {
		await attempt(() => sink.clear());
		throw new Error("the file has changed meanwhile");
	}
}

/** What the answer says of the whole file, when its body begins at `from`. */
function describe({ headers }: Response, from: number): RemoteFile {
	const total = /\/(\d+)$/.exec(headers.get("content-range") ?? "")?.[1];
	const length = headers.get("content-length");
	// The length of a body that is packed for the way says nothing of the file's.
	const size =
		total !== undefined
			? Number(total)
			: length === null || headers.has("content-encoding")
				? undefined
				: from + Number(length);
	return { size, validator: headers.get("etag") ?? headers.get("last-modified") ?? undefined };
}

async function attempt(action: () => Promise<void>): Promise<void> {
	try {
		await action();
	} catch (cause) {
		throw new SinkError("the bytes could not be kept", { cause });
	}
}

/** A signal that aborts when nothing has restarted it for so long. */
function stallWatch(timeout: number): { readonly signal: AbortSignal; restart(): void; stop(): void } {
	const stalled = new AbortController();
	const start = (): ReturnType<typeof setTimeout> =>
		setTimeout(() => stalled.abort(new Error(`no byte came for ${Math.round(timeout / 1000)} s`)), timeout);
	let timer = start();
	return {
		signal: stalled.signal,
		restart() {
			clearTimeout(timer);
			timer = start();
		},
		stop: () => clearTimeout(timer),
	};
}

/** Rejects with the signal's reason when it is aborted meanwhile. */
function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
	return new Promise((resolve, reject) => {
		const stop = (): void => {
			clearTimeout(timer);
			reject(signal?.reason);
		};
		const timer = setTimeout(() => {
			signal?.removeEventListener("abort", stop);
			resolve();
		}, milliseconds);
		signal?.addEventListener("abort", stop, { once: true });
	});
}

/** What went wrong in words: undici hides the reason of "fetch failed" in its cause. */
export function reasonOf(error: unknown): string {
	if (!(error instanceof Error)) return String(error);
	const { cause } = error;
	if (cause instanceof AggregateError && cause.errors[0] instanceof Error) return cause.errors[0].message;
	if (cause instanceof Error && cause.message !== "") return cause.message;
	return error.message;
}
