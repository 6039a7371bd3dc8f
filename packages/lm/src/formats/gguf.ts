/**
 * Reads GGUF, versions 2 and 3, little-endian: magic, counts, typed metadata, tensor infos, padding, then the tensors at
 * aligned offsets. Source: the GGUF specification (ggml, docs/gguf.md).
 *
 * The header is not trusted. Counts, lengths and offsets are compared with the bytes that are there before anything is
 * allocated; whatever a file holds, opening it and reading its tensors gives the data or a `TokError`.
 */
import { TokError } from "@tok/runtime";
import type { ByteSource } from "./byte-source.ts";
import { damagedFile, quote } from "./damaged-file.ts";
import { type TensorType, tensorTypeOfId } from "./dequantize/tensor-types.ts";
import { type GgufValue, plainValue, readValue } from "./gguf-values.ts";
import { HeaderCursor } from "./header-cursor.ts";
import { type StoredTensor, StoredTensorFile } from "./stored-tensors.ts";
import type { TensorFile } from "./tensor-file.ts";
import { checkOverlap, tensorBytes } from "./tensor-layout.ts";

export interface GgufFile extends TensorFile {
	readonly version: 2 | 3;
	/** Bytes; tensors begin at multiples of it. */
	readonly alignment: number;
	/** The metadata with its stored types, as `writeGguf` takes it. */
	readonly values: ReadonlyMap<string, GgufValue>;
}

/** Three times the header of the largest vocabulary about (Gemma's 262,144 tokens); the tensors are not counted. */
const longestHeader = 64 * 1024 * 1024;
const mostDims = 4;
/** Key length 8, value type 4, value 1. */
const leastKeyBytes = 13;
/** Name length 8, dimension count 4, type 4, offset 8. */
const leastTensorBytes = 24;
const defaultAlignment = 32;

/**
 * Opens a GGUF file. Takes the source over: it is closed by the file, and when reading fails. Throws a `TokError` for one
 * of another format, that is damaged, or one of a split.
 */
export function readGguf(source: ByteSource): GgufFile {
	try {
		const cursor = new HeaderCursor(source, longestHeader, "the start of the file");
		const version = readVersion(cursor, source.path);
		cursor.subject = "the header";
		const tensorCount = cursor.count(leastTensorBytes);
		const keyCount = cursor.count(leastKeyBytes);
		const values = readValues(cursor, keyCount);
		checkWhole(values, source.path);
		const alignment = readAlignment(values, source.path);
		const claims = readClaims(cursor, tensorCount);
		const dataStart = Math.ceil(cursor.offset / alignment) * alignment;
		const tensors = locateTensors(claims, source, dataStart, alignment);
		return new Gguf(source, version, alignment, values, tensors);
	} catch (error) {
		source.close();
		throw error;
	}
}

class Gguf extends StoredTensorFile implements GgufFile {
	readonly version: 2 | 3;
	readonly alignment: number;
	readonly values: ReadonlyMap<string, GgufValue>;

	constructor(
		source: ByteSource,
		version: 2 | 3,
		alignment: number,
		values: ReadonlyMap<string, GgufValue>,
		tensors: ReadonlyMap<string, StoredTensor>,
	) {
		super(source.path, new Map([...values].map(([key, value]) => [key, plainValue(value)])), tensors, [
			source,
		]);
		this.version = version;
		this.alignment = alignment;
		this.values = values;
	}
}

function readVersion(cursor: HeaderCursor, path: string): 2 | 3 {
	const magic = [cursor.uint8(), cursor.uint8(), cursor.uint8(), cursor.uint8()];
	if (String.fromCharCode(...magic) !== "GGUF") {
		const bytes = magic.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
		throw new TokError(
			"lm",
			`${path}: expected a GGUF file (it begins with 47 47 55 46), got ${bytes}; check the path`,
		);
	}
	const version = cursor.uint32();
	if (version === 2 || version === 3) return version;
	if (version !== 0 && (version & 0xffff) === 0) {
		throw new TokError(
			"lm",
			`${path}: expected a little-endian GGUF file, got a big-endian one; download the little-endian file of the model`,
		);
	}
	throw new TokError(
		"lm",
		`${path}: expected GGUF version 2 or 3, got ${version}; download a newer file of the model`,
	);
}

function readValues(cursor: HeaderCursor, count: number): Map<string, GgufValue> {
	const values = new Map<string, GgufValue>();
	for (let i = 0; i < count; i++) {
		cursor.subject = `metadata entry ${i}`;
		const key = cursor.string();
		cursor.subject = `metadata key ${quote(key)}`;
		if (values.has(key)) throw cursor.damaged("comes twice");
		values.set(key, readValue(cursor));
	}
	return values;
}

/** A part of a split model has valid tensors, only not all of them: it would fail later, and less clearly. */
function checkWhole(values: ReadonlyMap<string, GgufValue>, path: string): void {
	const count = values.get("split.count")?.value;
	if (typeof count === "number" && count > 1) {
		throw new TokError(
			"lm",
			`${path}: expected a whole model, got one of ${count} parts of a split one; join them with llama.cpp's ` +
				"llama-gguf-split --merge",
		);
	}
}

function readAlignment(values: ReadonlyMap<string, GgufValue>, path: string): number {
	const stored = values.get("general.alignment");
	if (stored === undefined) return defaultAlignment;
	const alignment = stored.type === "uint32" ? stored.value : 0;
	if (alignment === 0 || (alignment & (alignment - 1)) !== 0) {
		throw damagedFile(path, `expected a uint32 power of two as general.alignment, got ${print(stored)}`);
	}
	return alignment;
}

function print(value: GgufValue): string {
	return value.type === "array" ? "an array" : `${value.type} ${quote(String(value.value))}`;
}

/** What the header says of a tensor; `offset` counts from the start of the data. */
interface Claim {
	readonly name: string;
	readonly type: TensorType;
	readonly dims: readonly number[];
	readonly offset: number;
}

function readClaims(cursor: HeaderCursor, count: number): Map<string, Claim> {
	const claims = new Map<string, Claim>();
	for (let i = 0; i < count; i++) {
		cursor.subject = `tensor entry ${i}`;
		const name = cursor.string();
		cursor.subject = `tensor ${quote(name)}`;
		if (claims.has(name)) throw cursor.damaged("comes twice");
		const rank = cursor.uint32();
		if (rank > mostDims) throw cursor.damaged(`expected at most ${mostDims} dimensions, got ${rank}`);
		// GGUF lists the innermost dimension first.
		const dims = Array.from({ length: rank }, () => cursor.extent()).reverse();
		const type = tensorTypeOfId(cursor.uint32());
		claims.set(name, { name, type, dims, offset: cursor.extent() });
	}
	return claims;
}

/** Turns claims into places within the file, in the order of the header. */
function locateTensors(
	claims: ReadonlyMap<string, Claim>,
	source: ByteSource,
	dataStart: number,
	alignment: number,
): Map<string, StoredTensor> {
	const dataBytes = Math.max(source.size - dataStart, 0);
	const offsets = Float64Array.from([...claims.values()].map(({ offset }) => offset)).sort();
	const tensors = new Map<string, StoredTensor>();
	for (const { name, type, dims, offset } of claims.values()) {
		const problem = (sentence: string): Error =>
			damagedFile(source.path, `tensor ${quote(name)}: ${sentence}`);
		const byteLength = tensorBytes(dims, type, problem) ?? bytesUntilNext(offset, offsets, dataBytes);
		if (offset % alignment !== 0)
			throw problem(`expected an offset that is a multiple of ${alignment}, got ${offset}`);
		if (offset + byteLength > dataBytes) {
			throw problem(
				`expected bytes [${offset}, ${offset + byteLength}) of the data, but the file has ${dataBytes}`,
			);
		}
		tensors.set(name, { name, type, dims, byteLength, source, offset: dataStart + offset });
	}
	checkOverlap([...tensors.values()], (sentence) => damagedFile(source.path, sentence));
	return tensors;
}

/** From `offset` to the next larger of the sorted offsets, or to the end of the data. */
function bytesUntilNext(offset: number, sorted: Float64Array, dataBytes: number): number {
	let low = 0;
	let high = sorted.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if ((sorted[middle] as number) > offset) high = middle;
		else low = middle + 1;
	}
	return Math.max(0, (sorted[low] ?? dataBytes) - offset);
}
