/** Texts and token ids from files and standard input, checked before a model is loaded. */
import { open, stat } from "node:fs/promises";
import { addAbortSignal } from "node:stream";
import { fail } from "./errors.ts";
import type { Io } from "./io.ts";

/** Most bytes of an input file: what a Buffer can hold as one text. */
const mostBytes = 2 ** 29;

/** A text file, or standard input for "-". Throws a TokError when it cannot be read or is not UTF-8. */
export async function readText(flag: string, path: string, io: Io): Promise<string> {
	const bytes = path === "-" ? await readAll(io) : await readBytes(flag, path);
	try {
		return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
	} catch {
		const source = path === "-" ? "standard input" : path;
		return fail(
			`${flag}: expected UTF-8, got other bytes at offset ${invalidAt(bytes)} of ${source}. Convert it first.`,
		);
	}
}

/** Token ids: little-endian int32, each below `vocabularySize` when that is known. */
export async function readIds(flag: string, path: string): Promise<Int32Array> {
	const bytes = await readBytes(flag, path);
	if (bytes.length === 0 || bytes.length % 4 !== 0) {
		fail(
			`${flag}: expected little-endian int32 ids, got ${bytes.length} bytes in ${path}, not a multiple of 4 above 0.`,
		);
	}
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	return Int32Array.from({ length: bytes.length / 4 }, (_, index) => view.getInt32(index * 4, true));
}

/** Throws a TokError that names the first id which the model does not have. */
export function checkIds(flag: string, ids: Int32Array, vocabularySize: number): void {
	const index = ids.findIndex((id) => id < 0 || id >= vocabularySize);
	if (index >= 0) {
		fail(`${flag}: expected ids from 0 to ${vocabularySize - 1}, got ${ids[index]} at index ${index}.`);
	}
}

async function readBytes(flag: string, path: string): Promise<Uint8Array> {
	try {
		const stats = await stat(path);
		if (stats.isDirectory()) fail(`${flag}: expected a file, got the folder ${path}.`);
		if (stats.size > mostBytes)
			fail(`${flag}: expected at most ${mostBytes} bytes, got ${stats.size} in ${path}.`);
		const file = await open(path);
		try {
			return await file.readFile();
		} finally {
			await file.close();
		}
	} catch (error) {
		const { code } = error as NodeJS.ErrnoException;
		if (code === undefined) throw error;
		const reason = code === "ENOENT" ? "there is no such file" : code;
		return fail(`${flag}: cannot read ${path}: ${reason}. Check the path.`, { cause: error });
	}
}

async function readAll(io: Io): Promise<Uint8Array> {
	addAbortSignal(io.signal, io.stdin);
	const pieces: Buffer[] = [];
	for await (const piece of io.stdin) pieces.push(Buffer.from(piece));
	return Buffer.concat(pieces);
}

/** Offset of the first byte that belongs to no character. */
function invalidAt(bytes: Uint8Array): number {
	// A lenient decoder puts U+FFFD in place of what is wrong, so the text's own bytes first differ within that.
	const lenient = Buffer.from(new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes));
	let offset = lenient.findIndex((byte, index) => byte !== bytes[index]);
	while (((lenient[offset] ?? 0) & 0xc0) === 0x80) offset--;
	return offset;
}
