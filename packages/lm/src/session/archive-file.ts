/**
 * An archive in a file, apart from any session: a sealed file whose body is the ids of its tokens, then their un-rotated
 * keys and values block by block. Positions are no part of it, so any stream of the same model can recall it.
 *
 *     ids, int32 [tokens] | per block: [layers, 2, heads, blockSize, headDim], as `archive-codes.ts` writes it
 *
 * Files of version 1, which have no field for it, hold float32.
 */
import { headCount, type KvPart, TokError } from "@tok/runtime";
import { openBytes, writeBytes } from "../formats/open-bytes.ts";
import { checkSeal, openSealed, type Seal, type SealedFile, seal } from "../formats/sealed-file.ts";
import { nextTurn } from "../later.ts";
import type { ArchiveFileOptions, ArchiveFormat, ArchiveInfo, Precision, WriteTarget } from "../model.ts";
import { isArchiveFormat, rowCodecs } from "./archive-codes.ts";

const ARCHIVE: Seal = {
	magic: "TOKMEMO1",
	what: "archive file",
	remedy: "Read the text again and save its archive.",
};
/** The newest that is read, and the one that is written. */
const VERSION = 2;
/** Pieces of a checksum between two turns of other work. */
const PIECES_AT_A_TIME = 32;

export interface ArchiveHeader {
	/** `modelFingerprint` of the model that computed the entries. */
	readonly model: string;
	readonly precision: Precision;
	/** A multiple of the block size. */
	readonly tokens: number;
	readonly blockSize: number;
	/** Heads that are archived, layers ascending. */
	readonly heads: readonly KvPart[];
	readonly headDim: number;
	/** Of the entries in the file, whatever a session keeps them in. */
	readonly format: ArchiveFormat;
	/** Per block, how often it had been recalled, where the least recalled left. Defaults to nothing known. */
	readonly recalls?: readonly number[];
}

export interface SavedArchive {
	/** For errors. */
	readonly path: string;
	readonly header: ArchiveHeader;
	readonly ids: readonly number[];
	/** Block by block, float32 [layers, 2, heads, blockSize, headDim]. */
	blocks(): Iterable<Float32Array>;
	close(): void;
}

/** The header as it is written. Version 1 had neither of the two. */
interface StoredHeader extends Omit<ArchiveHeader, "format"> {
	readonly version?: number;
	readonly format?: ArchiveFormat;
}

/** Bytes of the whole file. Nothing is left behind when it fails or is aborted. */
export async function writeArchive(
	target: WriteTarget,
	header: ArchiveHeader,
	ids: readonly number[],
	blocks: AsyncIterable<Float32Array>,
	{ signal, onProgress }: ArchiveFileOptions,
): Promise<number> {
	const { blockSize } = header;
	const keyRows = header.heads.map(({ heads }) => heads.length * blockSize);
	let bytes = 0;
	async function* body(): AsyncGenerator<Uint8Array> {
		yield new Uint8Array(Int32Array.from(ids).buffer);
		let written = 0;
		for await (const rows of blocks) {
			yield rowCodecs[header.format].encode(rows, header.headDim, keyRows);
			written += blockSize;
			onProgress?.(written, header.tokens);
		}
	}
	async function* counted(): AsyncGenerator<Uint8Array> {
		for await (const chunk of seal(ARCHIVE, { version: VERSION, ...header }, body())) {
			bytes += chunk.length;
			yield chunk;
		}
	}
	await writeBytes(target, counted(), signal);
	return bytes;
}

/** Opens an archive. Rejects with a TokError for what is none, was cut or was altered. */
export async function openArchive(from: string | Blob, signal?: AbortSignal): Promise<SavedArchive> {
	const file = openSealed(await openBytes(from), ARCHIVE);
	try {
		let pieces = 0;
		for (const _ of checkSeal(file)) {
			if (++pieces % PIECES_AT_A_TIME === 0) await nextTurn();
			signal?.throwIfAborted();
		}
		const header = checkedHeader(file);
		const { source, start } = file;
		const { tokens, blockSize, headDim, format } = header;
		const size = blockBytes(header);
		const ids = Array.from(new Int32Array(source.read(start, 4 * tokens).buffer));
		return {
			path: source.path,
			header,
			ids,
			*blocks() {
				for (let block = 0; block < tokens / blockSize; block++) {
					const bytes = source.read(start + 4 * tokens + block * size, size);
					yield rowCodecs[format].decode(bytes, headDim);
				}
			},
			close: () => source.close(),
		};
	} catch (error) {
		file.source.close();
		throw error;
	}
}

/**
 * What an archive file says of itself, read from its header alone: damage further on is found when a session begins
 * with it. Rejects with a TokError for what is no archive.
 */
export async function inspectArchive(source: string | Blob): Promise<ArchiveInfo> {
	const file = openSealed(await openBytes(source), ARCHIVE);
	try {
		const { path } = file.source;
		const { tokens, blockSize, heads, precision, model, format } = checkedHeader(file);
		return { path, tokens, blockSize, heads, precision, format, model, bytes: file.source.size };
	} finally {
		file.source.close();
	}
}

/** Throws unless the header is one, and the file as long as it says. */
function checkedHeader(file: SealedFile): ArchiveHeader {
	const header = file.header() as Partial<StoredHeader> | null;
	const { version = 1, format = version === 1 ? "float32" : undefined } = header ?? {};
	if (Number.isSafeInteger(version) && version > VERSION)
		throw new TokError(
			"lm",
			`${file.source.path}: expected an archive file of version 1 to ${VERSION}, got ${version}. Update tok, or read ` +
				"the text again and save its archive.",
		);
	const { model, precision, tokens, blockSize, heads, headDim, recalls } = header ?? {};
	const counts = [tokens, blockSize, headDim].every((n) => Number.isSafeInteger(n) && (n as number) > 0);
	const ascend = (numbers: unknown): boolean =>
		Array.isArray(numbers) &&
		numbers.length > 0 &&
		numbers.every((n, i) => Number.isSafeInteger(n) && n > (numbers[i - 1] ?? -1));
	const ascending =
		Array.isArray(heads) &&
		ascend(heads.map((part) => part?.layer)) &&
		heads.every((part) => ascend(part?.heads));
	const valid =
		typeof model === "string" &&
		(precision === "exact" || precision === "fast") &&
		Number.isSafeInteger(version) &&
		isArchiveFormat(format) &&
		counts &&
		ascending;
	const blocks = (tokens as number) / (blockSize as number);
	const counted =
		recalls === undefined ||
		(Array.isArray(recalls) &&
			recalls.length === blocks &&
			recalls.every((n) => Number.isFinite(n) && n >= 0));
	if (!valid || !counted || !Number.isInteger(blocks)) throw file.damaged("its header lacks a field");
	const whole = { ...header, format } as ArchiveHeader;
	const { start, end } = file;
	if (start + 4 * whole.tokens + (whole.tokens / whole.blockSize) * blockBytes(whole) !== end)
		throw file.damaged("it is not as long as its header says");
	return whole;
}

function blockBytes({ heads, blockSize, headDim, format }: ArchiveHeader): number {
	return rowCodecs[format].bytes(headCount(heads) * 2 * blockSize, headDim);
}

/** "14.0,14.1,17.1": layer and head. */
function textOf(heads: readonly KvPart[]): string {
	return heads.flatMap(({ layer, heads }) => heads.map((head) => `${layer}.${head}`)).join();
}

/** Throws unless an archive is the model's, and the policy's memory takes it. */
export function checkArchive(
	path: string,
	{ model, precision, tokens, blockSize, heads, headDim }: ArchiveHeader,
	expected: Omit<ArchiveHeader, "tokens" | "format"> & { readonly capacity: number },
): void {
	const same = (what: string, want: string | number, got: string | number, remedy: string): void => {
		if (want !== got)
			throw new TokError("lm", `${path}: expected an archive of the ${what} ${want}, got ${got}. ${remedy}`);
	};
	same("model", expected.model, model, "Load the model that read it.");
	same("precision", expected.precision, precision, `Load the model as ${precision}.`);
	same("memory heads", textOf(expected.heads), textOf(heads), "Load the model with those of the archive.");
	same("head size", expected.headDim, headDim, "It is not of this program's making.");
	const size = `Give the policy a memory of blocks of ${blockSize}.`;
	same("block size", expected.blockSize, blockSize, size);
	if (tokens > expected.capacity)
		throw new TokError(
			"lm",
			`${path}: expected an archive of at most the ${expected.capacity} tokens that the policy's memory keeps, got ` +
				`${tokens}, ${tokens - expected.capacity} more. Give it a memory of ${tokens} tokens.`,
		);
}
