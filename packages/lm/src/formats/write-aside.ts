/** Writes a file so that its path never names a half-written one: aside, flushed to disk, then renamed. */
import { randomUUID } from "node:crypto";
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { TokError } from "@tok/runtime";

/** Writes the chunks one after the other. What stood at `path` stays until all are written, and stays on failure. */
export function writeAside(path: string, chunks: Iterable<Uint8Array>): void {
	const aside = asideOf(path);
	try {
		const descriptor = openSync(aside, "wx");
		try {
			for (const chunk of chunks) writeFileSync(descriptor, chunk);
			fsyncSync(descriptor);
		} finally {
			closeSync(descriptor);
		}
		renameSync(aside, path);
	} catch (cause) {
		rmSync(aside, { force: true });
		throw writeError(path, cause);
	}
}

/** The same, letting other work through between chunks. Rejects with the signal's reason when it is aborted. */
export async function writeAsideStepwise(
	path: string,
	chunks: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
	signal?: AbortSignal,
): Promise<void> {
	const aside = asideOf(path);
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

function asideOf(path: string): string {
	return `${path}.${randomUUID()}.part`;
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
