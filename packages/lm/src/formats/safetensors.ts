/**
 * Reads safetensors: a 64-bit header length, a JSON header of names, dtypes, shapes and byte ranges, then raw tensors;
 * and the folders of several such files that `model.safetensors.index.json` joins. Source: the format's description in
 * huggingface/safetensors. A header is not trusted: see `gguf.ts`.
 */
import { TokError } from "@tok/runtime";
import type { ByteSource, FileFolder } from "./byte-source.ts";
import { damagedFile, quote } from "./damaged-file.ts";
import { tensorTypeOfDtype } from "./dequantize/tensor-types.ts";
import { HeaderCursor } from "./header-cursor.ts";
import { isObject, type JsonObject, parseJsonHeader } from "./json-header.ts";
import { type StoredTensor, StoredTensorFile } from "./stored-tensors.ts";
import type { MetadataValue, TensorFile } from "./tensor-file.ts";
import { checkOverlap, tensorBytes } from "./tensor-layout.ts";

/** The reference implementation's limit; it applies to the index too. */
const longestHeader = 100_000_000;
const lengthBytes = 8;
const indexName = "model.safetensors.index.json";
const singleName = "model.safetensors";

/**
 * Opens the safetensors of a folder: an index with its shards, or one file. Metadata: the file's `__metadata__`, or the
 * scalars of the index's `metadata`. Throws a `TokError` for what is missing or damaged.
 */
export function openSafetensors(folder: FileFolder): TensorFile {
	const index = folder.open(indexName);
	if (index !== undefined) return openShards(index, folder);
	const single = folder.open(singleName);
	if (single !== undefined) return readSafetensors(single);
	throw new TokError(
		"lm",
		`${folder.path}: expected ${indexName} or ${singleName} in the folder, got neither; check the path`,
	);
}

/** One safetensors file over any source. Takes the source over: it is closed by the file, and when reading fails. */
export function readSafetensors(source: ByteSource): TensorFile {
	try {
		const { metadata, tensors } = readHeader(source);
		return new StoredTensorFile(source.path, metadata, tensors, [source]);
	} catch (error) {
		source.close();
		throw error;
	}
}

interface Header {
	readonly metadata: Map<string, MetadataValue>;
	readonly tensors: Map<string, StoredTensor>;
}

function readHeader(source: ByteSource): Header {
	const { path, size } = source;
	const length = new HeaderCursor(source, lengthBytes, "the header length").extent();
	if (length > Math.min(longestHeader, size - lengthBytes)) {
		throw damagedFile(
			path,
			`expected a safetensors header of at most ${Math.min(longestHeader, size - lengthBytes)} bytes, got a length of ${length}`,
		);
	}
	const header = parseJsonHeader(source.read(lengthBytes, length), path, "the safetensors header");
	const metadata = new Map<string, MetadataValue>();
	const tensors = new Map<string, StoredTensor>();
	for (const [name, entry] of Object.entries(header)) {
		if (name === "__metadata__") readMetadata(entry, metadata, path);
		else tensors.set(name, readTensor(name, entry, source, lengthBytes + length));
	}
	checkCoverage([...tensors.values()], source, lengthBytes + length);
	return { metadata, tensors };
}

function readMetadata(entry: unknown, metadata: Map<string, MetadataValue>, path: string): void {
	if (!isObject(entry))
		throw damagedFile(path, "expected __metadata__ to be an object, got another JSON value");
	for (const [key, value] of Object.entries(entry)) {
		if (typeof value !== "string") {
			throw damagedFile(path, `expected __metadata__'s ${quote(key)} to be a text, got a ${typeof value}`);
		}
		metadata.set(key, value);
	}
}

function readTensor(name: string, entry: unknown, source: ByteSource, dataStart: number): StoredTensor {
	const problem = (sentence: string): Error => damagedFile(source.path, `tensor ${quote(name)}: ${sentence}`);
	if (!isObject(entry))
		throw problem("expected an object with dtype, shape and data_offsets, got another JSON value");
	const { dtype, shape, data_offsets: range } = entry;
	if (typeof dtype !== "string") throw problem(`expected dtype to be a text, got ${describe(dtype)}`);
	if (!isExtents(shape)) throw problem("expected shape to be an array of integers ≥ 0, got something else");
	const [begin, end] = isExtents(range) && range.length === 2 ? range : [];
	if (begin === undefined || end === undefined) {
		throw problem("expected data_offsets to be two integers ≥ 0, got something else");
	}
	const dataBytes = source.size - dataStart;
	if (begin > end || end > dataBytes) {
		throw problem(`expected data_offsets within the ${dataBytes} bytes of data, got [${begin}, ${end}]`);
	}
	const type = tensorTypeOfDtype(dtype);
	const byteLength = end - begin;
	const expected = tensorBytes(shape, type, problem) ?? byteLength;
	if (byteLength !== expected)
		throw problem(`expected ${expected} bytes for its dtype and shape, got ${byteLength}`);
	return { name, type, dims: shape, byteLength, source, offset: dataStart + begin };
}

function isExtents(value: unknown): value is readonly number[] {
	return Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);
}

function describe(value: unknown): string {
	return value === undefined ? "none" : `a ${typeof value}`;
}

/** Tensors must share no byte, and leave none out: bytes that belong to no tensor are a format violation. */
function checkCoverage(tensors: readonly StoredTensor[], source: ByteSource, dataStart: number): void {
	checkOverlap(tensors, (sentence) => damagedFile(source.path, sentence));
	const covered = tensors.reduce((sum, { byteLength }) => sum + byteLength, 0);
	const dataBytes = source.size - dataStart;
	if (covered !== dataBytes) {
		throw damagedFile(
			source.path,
			`expected tensors to cover all ${dataBytes} bytes of data, but they cover ${covered}`,
		);
	}
}

/** Opens an index and every shard that it names; a shard that fails closes those before it. */
function openShards(index: ByteSource, folder: FileFolder): TensorFile {
	const { path } = index;
	const { weightMap, metadata } = readIndex(index);
	const sources: ByteSource[] = [];
	try {
		const headers = new Map<string, Header>();
		for (const shard of new Set(weightMap.values())) {
			const source = folder.open(shard);
			if (source === undefined)
				throw damagedFile(path, `expected the shard ${quote(shard)} beside the index, got none`);
			sources.push(source);
			headers.set(shard, readHeader(source));
		}
		const tensors = new Map<string, StoredTensor>();
		for (const [name, shard] of weightMap) {
			const tensor = headers.get(shard)?.tensors.get(name);
			if (tensor === undefined)
				throw damagedFile(path, `expected tensor ${quote(name)} in ${quote(shard)}, got none there`);
			tensors.set(name, tensor);
		}
		return new StoredTensorFile(path, metadata, tensors, sources);
	} catch (error) {
		for (const source of sources) source.close();
		throw error;
	}
}

function readIndex(source: ByteSource): {
	weightMap: Map<string, string>;
	metadata: Map<string, MetadataValue>;
} {
	const { path } = source;
	const { weight_map: map, metadata: stated } = readIndexJson(source);
	if (!isObject(map)) throw damagedFile(path, "expected weight_map to be an object, got something else");
	const weightMap = new Map<string, string>();
	for (const [name, shard] of Object.entries(map)) {
		// A shard lies beside its index: a path could name any file of the machine.
		if (typeof shard !== "string" || !/^[^/\\:\0]+$/.test(shard) || shard === "." || shard === "..") {
			throw damagedFile(
				path,
				`expected a file name as the shard of tensor ${quote(name)}, got ${quote(String(shard))}`,
			);
		}
		weightMap.set(name, shard);
	}
	const metadata = new Map<string, MetadataValue>();
	for (const [key, value] of Object.entries(isObject(stated) ? stated : {})) {
		if (typeof value === "string" || typeof value === "number" || typeof value === "boolean")
			metadata.set(key, value);
	}
	return { weightMap, metadata };
}

function readIndexJson(source: ByteSource): JsonObject {
	const { path } = source;
	try {
		if (source.size > longestHeader) {
			throw damagedFile(path, `expected an index of at most ${longestHeader} bytes, got ${source.size}`);
		}
		return parseJsonHeader(source.read(0, source.size), path, "the index");
	} finally {
		source.close();
	}
}
