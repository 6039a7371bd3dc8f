/**
 * A session on disk: magic, header length, a JSON header, the logits, the cache's buffers, and a SHA-256 of all of
 * it. Written aside and renamed; read back only when every byte is there and unchanged.
 *
 *     "TOKSESS1" | uint32 header length | header, UTF-8 | logits, float32 | cache, float32 | 32 bytes SHA-256
 */
import { createHash } from "node:crypto";
import type { CacheSnapshot } from "@tok/kv-cache";
import { type KvShape, TokError } from "@tok/runtime";
import { type ByteSource, openFileSource } from "../formats/byte-source.ts";
import { writeAside } from "../formats/write-aside.ts";
import type { Precision } from "../model.ts";
import { isRandomState, type RandomState } from "../sampling/random.ts";

const MAGIC = "TOKSESS1";
const DIGEST_BYTES = 32;
const PIECE = 1 << 20;

export interface SessionHeader {
	/** `modelFingerprint` of the model that computed the cache. */
	readonly model: string;
	readonly precision: Precision;
	/** As `formatPolicy` writes it. */
	readonly policy: string;
	readonly cache: CacheSnapshot;
	readonly shape: KvShape;
	/** The last tokens of the stream. */
	readonly tail: readonly number[];
	/** Tokens that were chosen or given and not read yet. */
	readonly pending: readonly number[];
	readonly random: RandomState | null;
	/** Length of the logits: the vocabulary's, or 0 when there are none. */
	readonly logits: number;
	readonly cacheBytes: number;
}

export interface SavedSession {
	readonly header: SessionHeader;
	readonly logits: Float32Array | undefined;
	/** The cache's bytes, piece by piece. */
	cache(): Iterable<Uint8Array>;
	close(): void;
}

export async function writeSession(
	path: string,
	header: SessionHeader,
	logits: Float32Array | undefined,
	cache: AsyncIterable<Uint8Array>,
): Promise<void> {
	const json = new TextEncoder().encode(JSON.stringify(header));
	const length = new Uint8Array(Uint32Array.of(json.length).buffer);
	const chunks: Uint8Array[] = [new TextEncoder().encode(MAGIC), length, json];
	if (logits !== undefined) chunks.push(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength));
	for await (const chunk of cache) chunks.push(chunk);
	const hash = createHash("sha256");
	for (const chunk of chunks) hash.update(chunk);
	writeAside(path, [...chunks, hash.digest()]);
}

/** Opens a saved session. Throws a TokError for what is none, was cut or was altered. */
export function openSession(path: string): SavedSession {
	const source = openFileSource(path);
	try {
		const end = checkedEnd(source);
		const [length = 0] = new Uint32Array(source.read(MAGIC.length, 4).buffer);
		const start = MAGIC.length + 4;
		if (start + length > end) throw damaged(path, "its header is longer than the file");
		const header = parseHeader(path, source.read(start, length));
		const cacheStart = start + length + 4 * header.logits;
		if (cacheStart + header.cacheBytes !== end) throw damaged(path, "it is not as long as its header says");
		return {
			header,
			logits:
				header.logits === 0
					? undefined
					: new Float32Array(source.read(start + length, 4 * header.logits).buffer),
			*cache() {
				for (let offset = cacheStart; offset < end; offset += PIECE)
					yield source.read(offset, Math.min(PIECE, end - offset));
			},
			close: () => source.close(),
		};
	} catch (error) {
		source.close();
		throw error;
	}
}

/** Where the checksum begins. Throws unless it is that of everything before it: nothing else is believed. */
function checkedEnd(source: ByteSource): number {
	const { path } = source;
	const end = source.size - DIGEST_BYTES;
	if (end < MAGIC.length + 4 || new TextDecoder().decode(source.read(0, MAGIC.length)) !== MAGIC)
		throw damaged(path, "it does not begin as one");
	const hash = createHash("sha256");
	for (let offset = 0; offset < end; offset += PIECE)
		hash.update(source.read(offset, Math.min(PIECE, end - offset)));
	if (!hash.digest().equals(source.read(end, DIGEST_BYTES)))
		throw damaged(path, "its checksum does not match");
	return end;
}

/** Checks the fields whose values are used here; the others are compared with what the model expects. */
function parseHeader(path: string, bytes: Uint8Array): SessionHeader {
	let header: Partial<SessionHeader> | null;
	try {
		header = JSON.parse(new TextDecoder().decode(bytes));
	} catch {
		throw damaged(path, "its header cannot be read");
	}
	const { policy, tail, pending, random, logits, cacheBytes } = header ?? {};
	const valid =
		typeof policy === "string" &&
		(random === null || isRandomState(random)) &&
		[tail, pending].every((ids) => Array.isArray(ids)) &&
		[logits, cacheBytes].every((count) => Number.isSafeInteger(count) && (count as number) >= 0);
	if (!valid) throw damaged(path, "its header lacks a field");
	return header as SessionHeader;
}

function damaged(path: string, problem: string): TokError {
	return new TokError(
		"lm",
		`${path}: expected a whole session file, but ${problem}. Save the session again.`,
	);
}
