/** Fetches one file to a path: beside it first, checks size and SHA-256, and only then gives the file its name. */
import { open } from "node:fs/promises";
import { TokError } from "@tok/runtime";
import { type Fetching, fetchBytes } from "../fetch-bytes.ts";
import { sha256OfFile } from "./checksum.ts";
import { PartFile } from "./part-file.ts";

export interface Download extends Pick<Fetching, "url" | "headers" | "fetch" | "signal" | "onBytes"> {
	/** Absolute path that the file gets once it is whole. */
	readonly target: string;
	/** Stands for the exact bytes (a checksum, an entity tag): a part of other bytes is never continued. */
	readonly key: string;
	/** Bytes. */
	readonly size: number;
	/** Lower-case hexadecimal. Undefined when the source does not tell; then only the size is checked. */
	readonly sha256: string | undefined;
	/** As `Fetching` has them. */
	readonly stallTimeout?: number;
	readonly retryDelay?: number;
}

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
		let { size } = await file.stat();
		await fetchBytes(
			{ ...task, changes: task.sha256 === undefined ? "answers" : "checksum" },
			{
				get size() {
					return size;
				},
				lasting: true,
				async append(bytes) {
					await file.appendFile(bytes);
					size += bytes.length;
				},
				async clear() {
					await file.truncate(0);
					size = 0;
				},
			},
		);
	} finally {
		await file.close();
	}
}
