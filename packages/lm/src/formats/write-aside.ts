/** Writes a file so that its path never names a half-written one: aside, flushed to disk, then renamed. */
import { randomUUID } from "node:crypto";
import { renameSync, rmSync } from "node:fs";
import { open } from "node:fs/promises";
import { TokError } from "@tok/runtime";
import type { Chunks } from "../platform/platform.ts";

/**
 * Writes the chunks one after the other, letting other work through between them. What stood at `path` stays until all
 * are written, and stays on failure. Rejects with the signal's reason when it is aborted.
 */
export async function writeAside(path: string, chunks: Chunks, signal?: AbortSignal): Promise<void> {
	const aside = `${path}.${randomUUID()}.part`;
	try {
		signal?.throwIfAborted();
		const file = await open(aside, "wx");
		try {
			for await (const chunk of chunks) {
				await file.writeFile(chunk);
				signal?.throwIfAborted();
			}
			await file.sync();
		} finally {
			await file.close();
		}
		renameSync(aside, path);
	} catch (cause) {
		rmSync(aside, { force: true });
		throw signal?.aborted && cause === signal.reason ? cause : writeError(path, cause);
	}
}

function writeError(path: string, cause: unknown): unknown {
	if (TokError.isInstance(cause)) return cause;
	const reason = cause instanceof Error ? cause.message : String(cause);
	return new TokError(
		"lm",
		`${path}: the file could not be written (${reason}); check the folder and the free space`,
		{ cause },
	);
}
