/** Writes a file so that its path never names a half-written one: aside, flushed to disk, then renamed. */
import { randomUUID } from "node:crypto";
import { closeSync, fsyncSync, openSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { TokError } from "@tok/runtime";

/** Writes the chunks one after the other. What stood at `path` stays until all are written, and stays on failure. */
export function writeAside(path: string, chunks: Iterable<Uint8Array>): void {
	const aside = `${path}.${randomUUID()}.part`;
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
		if (TokError.isInstance(cause)) throw cause;
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new TokError(
			"lm",
			`${path}: the file could not be written (${reason}); check the folder and the free space`,
			{
				cause,
			},
		);
	}
}
