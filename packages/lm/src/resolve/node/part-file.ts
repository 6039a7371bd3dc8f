/**
 * The unfinished file of a download, beside its target. Left behind by a failure it is `NAME.KEY.part`, where KEY
 * stands for the exact bytes that are being fetched; while a process works on it, it carries that process's mark.
 * Taking one over is a rename, so of any number of processes one gets it, and the others begin their own.
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, readdir, rename, rm, stat } from "node:fs/promises";
import { hostname } from "node:os";
import { basename, dirname, join } from "node:path";

const host: string = hostname().replace(/[^A-Za-z0-9-]/g, "");

export class PartFile {
	readonly #idle: string;
	/** Where this process writes. */
	readonly path: string;

	private constructor(idle: string, path: string) {
		this.#idle = idle;
		this.path = path;
	}

	/** Takes over what an earlier try left, or begins an empty file. */
	static async claim(target: string, key: string): Promise<PartFile> {
		const folder = dirname(target);
		await mkdir(folder, { recursive: true });
		const prefix = `${basename(target)}.${key}`;
		const idle = join(folder, `${prefix}.part`);
		const part = new PartFile(
			idle,
			join(folder, `${prefix}.${host}-${process.pid}-${randomUUID().slice(0, 8)}.part`),
		);
		for (const name of await readdir(folder)) {
			if (!name.startsWith(prefix) || !name.endsWith(".part") || !isIdle(name.slice(prefix.length))) continue;
			try {
				await rename(join(folder, name), part.path);
				return part;
			} catch {
				// Another process was first.
			}
		}
		await (await open(part.path, "wx")).close();
		return part;
	}

	async size(): Promise<number> {
		return (await stat(this.path)).size;
	}

	/** Keeps what there is for the next try. An empty file is not worth keeping. */
	async release(): Promise<void> {
		try {
			if ((await this.size()) > 0) await rename(this.path, this.#idle);
			else await this.remove();
		} catch {
			// Somebody emptied the folder meanwhile: nothing is left to keep.
		}
	}

	async remove(): Promise<void> {
		await rm(this.path, { force: true });
	}

	/** Makes it the finished file. */
	async finish(target: string): Promise<void> {
		await moveInto(this.path, target);
	}
}

/** A rename that is content when another process has just put the same file there (Windows refuses to replace it). */
export async function moveInto(path: string, target: string): Promise<void> {
	try {
		await rename(path, target);
	} catch (error) {
		const [ours, theirs] = await Promise.all([path, target].map((one) => stat(one).catch(() => undefined)));
		if (ours === undefined || ours.size !== theirs?.size) throw error;
		await rm(path, { force: true });
	}
}

/** `rest` is ".part", or ".HOST-PID-RANDOM.part": idle when the process of this host is gone. */
function isIdle(rest: string): boolean {
	if (rest === ".part") return true;
	const match = /^\.([A-Za-z0-9-]*)-(\d+)-[0-9a-f]{8}\.part$/.exec(rest);
	if (match === null || match[1] !== host) return false;
	try {
		process.kill(Number(match[2]), 0);
		return false;
	} catch (error) {
		return (error as NodeJS.ErrnoException).code === "ESRCH";
	}
}
