/**
 * Files of tok's own that are believed whole or not at all: magic, header length, a JSON header, a body, and a SHA-256
 * of all of it.
 *
 *     8 bytes magic | uint32 header length | header, UTF-8 | body | 32 bytes SHA-256
 */
import { TokError } from "@tok/runtime";
import { platform } from "#platform";
import type { ByteSource } from "./byte-source.ts";

/** One kind of such files. */
export interface Seal {
	/** 8 characters of ASCII. */
	readonly magic: string;
	/** For errors: "session file". */
	readonly what: string;
	/** For errors: what to do about a damaged one, as a sentence. */
	readonly remedy: string;
}

export interface SealedFile {
	readonly source: ByteSource;
	/** Parses the header; its fields are the caller's to check. Throws when it is no JSON. */
	header(): unknown;
	/** The body is [start, end). */
	readonly start: number;
	readonly end: number;
	/** An error that says what is wrong with the file. */
	damaged(problem: string): TokError;
}

const DIGEST_BYTES = 32;
const PIECE = 1 << 20;

/** The chunks of a sealed file, the checksum last. */
export async function* seal(
	{ magic }: Seal,
	header: object,
	body: AsyncIterable<Uint8Array> | Iterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
	const hash = platform.createSha256();
	const json = new TextEncoder().encode(JSON.stringify(header));
	const length = new Uint8Array(Uint32Array.of(json.length).buffer);
	for (const chunk of [new TextEncoder().encode(magic), length, json]) {
		hash.update(chunk);
		yield chunk;
	}
	for await (const chunk of body) {
		hash.update(chunk);
		yield chunk;
	}
	yield hash.digest();
}

/**
 * Opens a file, of which nothing is to be believed before `checkSeal` has compared the checksum. Takes the source over
 * when it fails; else the caller closes it. Throws a TokError for what is no such file.
 */
export function openSealed(source: ByteSource, { magic, what, remedy }: Seal): SealedFile {
	const damaged = (problem: string): TokError =>
		new TokError("lm", `${source.path}: expected a whole ${what}, but ${problem}. ${remedy}`);
	try {
		const end = source.size - DIGEST_BYTES;
		const begins = magic.length + 4;
		if (end < begins || new TextDecoder().decode(source.read(0, magic.length)) !== magic)
			throw damaged("it does not begin as one");
		const [length = 0] = new Uint32Array(source.read(magic.length, 4).buffer);
		const start = begins + length;
		if (start > end) throw damaged("its header is longer than the file");
		const header = (): unknown => parse(new TextDecoder().decode(source.read(begins, length)), damaged);
		return { source, header, start, end, damaged };
	} catch (error) {
		source.close();
		throw error;
	}
}

/**
 * Throws unless the checksum is that of everything before it. Yields after each piece, so that the caller can let
 * other work through.
 */
export function* checkSeal({ source, end, damaged }: SealedFile): Generator<void> {
	const hash = platform.createSha256();
	for (let offset = 0; offset < end; offset += PIECE) {
		hash.update(source.read(offset, Math.min(PIECE, end - offset)));
		yield;
	}
	const digest = hash.digest();
	if (source.read(end, DIGEST_BYTES).some((byte, i) => byte !== digest[i]))
		throw damaged("its checksum does not match");
}

/** The body from `from` on, in pieces. */
export function* bodyOf({ source, end }: SealedFile, from: number): Generator<Uint8Array> {
	for (let offset = from; offset < end; offset += PIECE)
		yield source.read(offset, Math.min(PIECE, end - offset));
}

function parse(text: string, damaged: (problem: string) => TokError): unknown {
	try {
		return JSON.parse(text);
	} catch {
		throw damaged("its header cannot be read");
	}
}
