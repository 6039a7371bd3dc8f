/**
 * SHA-256 of files, streamed, and the memory of having checked one: the next start compares size and time of
 * change instead of reading the file again.
 */
import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { mkdir, readFile, realpath, rename, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";

/** Lower-case hexadecimal. */
export async function sha256OfFile(path: string, signal?: AbortSignal): Promise<string> {
	const hash = createHash("sha256");
	const options = { highWaterMark: 1 << 20, ...(signal && { signal }) };
	for await (const bytes of createReadStream(path, options)) hash.update(bytes as Buffer);
	return hash.digest("hex");
}

/**
 * Whether the file has this checksum. A positive answer is noted in `<cache>/verified`, when that can be written,
 * and holds until the file's size or time of change differs.
 */
export async function hasChecksum(
	path: string,
	sha256: string,
	cache: string,
	signal?: AbortSignal,
): Promise<boolean> {
	const real = await realpath(path);
	const { size, mtimeMs } = await stat(real);
	const key = createHash("sha256").update(real).digest("hex").slice(0, 32);
	const note = join(cache, "verified", `${key}.json`);
	const expected = `${JSON.stringify({ path: real, sha256, size, mtimeMs })}\n`;
	if ((await readFile(note, "utf8").catch(() => undefined)) === expected) return true;
	if ((await sha256OfFile(real, signal)) !== sha256) return false;
	await writeAside(note, expected).catch(() => {
		// A read-only cache costs the next start one more reading, nothing else.
	});
	return true;
}

/** Writes a small file so that nobody ever sees half of it. */
export async function writeAside(path: string, text: string): Promise<void> {
	await mkdir(join(path, ".."), { recursive: true });
	const aside = `${path}.${randomUUID()}.tmp`;
	await writeFile(aside, text);
	await rename(aside, path);
}
