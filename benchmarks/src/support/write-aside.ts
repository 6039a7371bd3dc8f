/** Files appear whole or not at all: written aside, then renamed. */
import { mkdirSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";

export function writeAside(path: string, content: string | Uint8Array): void {
	mkdirSync(dirname(path), { recursive: true });
	const aside = `${path}.${process.pid}.part`;
	try {
		writeFileSync(aside, content);
		renameSync(aside, path);
	} catch (error) {
		rmSync(aside, { force: true });
		throw error;
	}
}

export function writeJson(path: string, value: unknown): void {
	writeAside(path, `${JSON.stringify(value, null, "\t")}\n`);
}
