/**
 * A session on disk: magic, header length, a JSON header, the logits, the cache's buffers, and a SHA-256 of all of
 * it. Written aside and renamed; read back only when every byte is there and unchanged.
 *
 *     "TOKSESS1" | uint32 header length | header, UTF-8 | logits, float32 | cache, float32 | 32 bytes SHA-256
 */
import { createHash } from "node:crypto";
import { closeSync, fstatSync, openSync, readSync } from "node:fs";
import type { CacheSnapshot, Positions } from "@tok/kv-cache";
import { type KvShape, TokError } from "@tok/runtime";
import { writeAside } from "../formats/write-aside.ts";
import type { Precision } from "../model.ts";
import type { SamplerState } from "../sampling/sampler.ts";

const MAGIC = Buffer.from("TOKSESS1");
const DIGEST_BYTES = 32;
const PIECE = 1 << 20;

export interface SessionHeader {
	/** `modelFingerprint` of the model that computed the cache. */
	readonly model: string;
	readonly precision: Precision;
	/** As `formatPolicy` writes it. */
	readonly policy: string;
	readonly positions: Positions;
	readonly cache: CacheSnapshot;
	readonly shape: KvShape;
	/** The last tokens of the stream. */
	readonly tail: readonly number[];
	/** Tokens that were chosen and not read yet. */
	readonly pending: readonly number[];
	readonly sampler: SamplerState | null;
	/** Length of the logits: the vocabulary's, or 0 when there are none. */
	readonly logits: number;
	readonly cacheBytes: number;
}

export interface SavedSession {
	readonly header: SessionHeader;
	readonly logits: Float32Array | undefined;
	/** The cache's bytes in pieces, to be read once and to the end: the checksum is compared after the last. */
	cache(): Iterable<Uint8Array>;
	close(): void;
}

export async function writeSession(
	path: string,
	header: SessionHeader,
	logits: Float32Array | undefined,
	cache: AsyncIterable<Uint8Array>,
): Promise<void> {
	const json = Buffer.from(JSON.stringify(header));
	const length = Buffer.alloc(4);
	length.writeUInt32LE(json.length);
	const chunks: Uint8Array[] = [MAGIC, length, json];
	if (logits !== undefined) chunks.push(new Uint8Array(logits.buffer, logits.byteOffset, logits.byteLength));
	for await (const chunk of cache) chunks.push(chunk);
	const hash = createHash("sha256");
	for (const chunk of chunks) hash.update(chunk);
	writeAside(path, [...chunks, hash.digest()]);
}

/** Opens a saved session and reads its header. Throws a TokError for what is none, or was cut. */
export function openSession(path: string): SavedSession {
	const descriptor = open(path);
	try {
		const size = fstatSync(descriptor).size;
		const hash = createHash("sha256");
		let offset = 0;
		const take = (count: number): Buffer => {
			if (offset + count > size) throw damaged(path, "it ends too soon");
			const bytes = Buffer.alloc(count);
			readSync(descriptor, bytes, 0, count, offset);
			offset += count;
			hash.update(bytes);
			return bytes;
		};
		if (size < MAGIC.length || !take(MAGIC.length).equals(MAGIC))
			throw damaged(path, "it does not begin as one");
		const header = readHeader(path, take(take(4).readUInt32LE()));
		if (offset + 4 * header.logits + header.cacheBytes + DIGEST_BYTES !== size)
			throw damaged(path, `it has ${size} bytes and not as many as its header says`);
		const logits = header.logits === 0 ? undefined : floats(take(4 * header.logits));
		return {
			header,
			logits,
			*cache() {
				for (let left = header.cacheBytes; left > 0; ) {
					const piece = take(Math.min(left, PIECE));
					left -= piece.length;
					yield piece;
				}
				const expected = hash.digest();
				const digest = Buffer.alloc(DIGEST_BYTES);
				readSync(descriptor, digest, 0, DIGEST_BYTES, offset);
				if (!digest.equals(expected)) throw damaged(path, "its checksum does not match");
			},
			close: () => closeSync(descriptor),
		};
	} catch (error) {
		closeSync(descriptor);
		throw error;
	}
}

/** Checks every field: a damaged header must not lead further than this. */
function readHeader(path: string, bytes: Buffer): SessionHeader {
	let header: Partial<SessionHeader>;
	try {
		header = JSON.parse(bytes.toString("utf8")) as Partial<SessionHeader>;
	} catch {
		throw damaged(path, "its header cannot be read");
	}
	const { model, precision, policy, positions, cache, shape, tail, pending, sampler, logits, cacheBytes } =
		header ?? {};
	const valid =
		[model, precision, policy, positions].every((text) => typeof text === "string") &&
		[cache, shape].every((value) => typeof value === "object" && value !== null) &&
		typeof sampler === "object" &&
		[tail, pending].every((ids) => Array.isArray(ids) && ids.every(isCount)) &&
		[logits, cacheBytes].every(isCount);
	if (!valid) throw damaged(path, "its header lacks a field");
	return header as SessionHeader;
}

function isCount(value: unknown): boolean {
	return Number.isSafeInteger(value) && (value as number) >= 0;
}

function open(path: string): number {
	try {
		return openSync(path, "r");
	} catch (cause) {
		throw new TokError(
			"lm",
			`${path}: expected a saved session: ${(cause as Error).message}. Check the path.`,
			{
				cause,
			},
		);
	}
}

function floats(bytes: Buffer): Float32Array {
	return new Float32Array(new Uint8Array(bytes).buffer);
}

function damaged(path: string, problem: string): TokError {
	return new TokError(
		"lm",
		`${path}: expected a whole session file, but ${problem}. Save the session again.`,
	);
}
