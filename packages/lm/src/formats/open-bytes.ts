/** What can be read from, and written to: a path where there are files, a Blob and a stream anywhere. */
import { TokError } from "@tok/runtime";
import { platform } from "#platform";
import type { WriteTarget } from "../model.ts";
import type { Chunks } from "../platform/platform.ts";
import { blobSource } from "./blob-source.ts";
import type { ByteSource } from "./byte-source.ts";

/** Opens a file or a Blob for reading. */
export async function openBytes(from: string | Blob): Promise<ByteSource> {
	if (typeof from === "string") return platform.openFile(from);
	if (from instanceof Blob) return blobSource(from);
	throw new TokError("lm", `source: expected a path, a Blob or a File, got ${typeof from}.`);
}

/**
 * Writes chunks to a path, aside first and then renamed, or to a stream, which is closed at the end and aborted on
 * failure. Rejects with the signal's reason when it is aborted.
 */
export async function writeBytes(to: WriteTarget, chunks: Chunks, signal?: AbortSignal): Promise<void> {
	if (typeof to === "string") return platform.writeFile(to, chunks, signal);
	if (typeof to?.getWriter !== "function" || to.locked)
		throw new TokError(
			"lm",
			`target: expected a path or a WritableStream that nothing else writes to, got ${describe(to)}.`,
		);
	const writer = to.getWriter();
	try {
		signal?.throwIfAborted();
		for await (const chunk of chunks) {
			// Chunks may view buffers that go on changing, and a stream may keep or transfer what it is given.
			await writer.write(chunk.slice());
			signal?.throwIfAborted();
		}
		await writer.close();
	} catch (cause) {
		await writer.abort(cause).catch(() => {
			// The stream has failed already: `cause` says how.
		});
		if (TokError.isInstance(cause) || (signal?.aborted && cause === signal.reason)) throw cause;
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new TokError("lm", `target: the stream could not be written (${reason}); give another one.`, {
			cause,
		});
	} finally {
		writer.releaseLock();
	}
}

function describe(to: unknown): string {
	return to instanceof WritableStream ? "a locked one" : typeof to;
}
