/** Results appear whole or not at all: written aside, then renamed. */
import { rename, rm, writeFile } from "node:fs/promises";
import { fail } from "./errors.ts";

/** Throws a TokError that names the flag. */
export async function writeAside(flag: string, path: string, content: string | Uint8Array): Promise<void> {
	const aside = `${path}.${process.pid}.part`;
	try {
		await writeFile(aside, content);
		await rename(aside, path);
	} catch (error) {
		await rm(aside, { force: true });
		fail(`${flag}: cannot write ${path}: ${(error as NodeJS.ErrnoException).code}.`, { cause: error });
	}
}
