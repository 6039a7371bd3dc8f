/**
 * Writes GGUF version 3, little-endian: what `gguf.ts` reads. A file read by `openGguf` and written with its `values`
 * and tensors in order is the same file again, byte for byte, when its own writer padded with zeros.
 */
import { TokError } from "@tok/runtime";
import { quote } from "./damaged-file.ts";
import { tensorTypeInfo } from "./dequantize/tensor-types.ts";
import {
	type GgufNumberType,
	type GgufScalarType,
	type GgufValue,
	leastBytes,
	valueTypes,
} from "./gguf-values.ts";
import { concatenate, contentBytes, measure, type TensorContent } from "./tensor-content.ts";

/** The least and the largest value of the integer types. The float types hold any number, rounded. */
const ranges: Readonly<Partial<Record<GgufScalarType, readonly [number | bigint, number | bigint]>>> = {
	...{ uint8: [0, 2 ** 8 - 1], int8: [-(2 ** 7), 2 ** 7 - 1], bool: [0, 1] },
	...{ uint16: [0, 2 ** 16 - 1], int16: [-(2 ** 15), 2 ** 15 - 1] },
	...{ uint32: [0, 2 ** 32 - 1], int32: [-(2 ** 31), 2 ** 31 - 1] },
	...{ uint64: [0n, 2n ** 64n - 1n], int64: [-(2n ** 63n), 2n ** 63n - 1n] },
};

export interface GgufContent {
	/** `general.alignment` in it, a uint32 power of two, is obeyed. Defaults to 32 there. */
	readonly values: ReadonlyMap<string, GgufValue>;
	readonly tensors: readonly TensorContent[];
}

/** A file in memory. Throws as `ggufChunks` does. */
export function encodeGguf(content: GgufContent): Uint8Array<ArrayBuffer> {
	return concatenate(ggufChunks(content));
}

/**
 * A file piece by piece, one tensor in memory at a time; `onTensor` is called after each, with its index and its bytes.
 * Throws for types that GGUF lacks, repeated names, and data of another length.
 */
export function* ggufChunks(
	{ values, tensors }: GgufContent,
	onTensor?: (index: number, bytes: number) => void,
): Generator<Uint8Array> {
	const sizes = measure(tensors);
	const alignment = alignmentOf(values);
	const header = new ByteWriter();
	header.text("GGUF");
	header.uint32(3);
	header.uint64(tensors.length);
	header.uint64(values.size);
	for (const [key, value] of values) {
		header.string(key);
		header.uint32(valueTypes.indexOf(value.type));
		writeValue(header, value);
	}
	let offset = 0;
	for (const [index, tensor] of tensors.entries()) {
		writeTensorInfo(header, tensor, offset);
		offset += padded(sizes[index] as number, alignment);
	}
	const bytes = header.finish();
	yield bytes;
	yield new Uint8Array(padded(bytes.length, alignment) - bytes.length);
	for (const [index, tensor] of tensors.entries()) {
		const data = contentBytes(tensor, sizes[index] as number);
		yield data;
		yield new Uint8Array(padded(data.length, alignment) - data.length);
		onTensor?.(index, data.length);
	}
}

function alignmentOf(values: ReadonlyMap<string, GgufValue>): number {
	const value = values.get("general.alignment");
	if (value === undefined) return 32;
	const alignment = value.type === "uint32" ? value.value : 0;
	if (!Number.isInteger(alignment) || alignment <= 0 || (alignment & (alignment - 1)) !== 0) {
		throw new TokError(
			"lm",
			`general.alignment: expected a uint32 power of two, got ${value.type} ${String(value.value)}`,
		);
	}
	return alignment;
}

function writeTensorInfo(header: ByteWriter, { name, type, dims }: TensorContent, offset: number): void {
	const id = tensorTypeInfo(type)?.id;
	if (id === undefined)
		throw new TokError("lm", `tensor ${quote(name)}: expected a type that GGUF has, got ${type}`);
	if (dims.length > 4) {
		throw new TokError(
			"lm",
			`tensor ${quote(name)}: expected at most 4 dimensions, got ${dims.length}; reshape it`,
		);
	}
	header.string(name);
	header.uint32(dims.length);
	for (const dim of dims.toReversed()) header.uint64(dim);
	header.uint32(id);
	header.uint64(offset);
}

function writeValue(header: ByteWriter, value: GgufValue): void {
	if (value.type !== "array") {
		writeScalar(header, value.type, value.value);
		return;
	}
	header.uint32(valueTypes.indexOf(value.of));
	header.uint64(value.value.length);
	if (value.of === "array") for (const inner of value.value) writeValue(header, inner);
	else for (const scalar of value.value) writeScalar(header, value.of, scalar);
}

function writeScalar(
	header: ByteWriter,
	type: GgufScalarType,
	value: string | number | bigint | boolean,
): void {
	if (typeof value === "string") header.string(value);
	else if (type === "uint64" || type === "int64") header.uint64(within(type, BigInt(value)));
	else if (type !== "string") header.number(type, within(type, Number(value)));
}

/** The value, if the type can hold it. */
function within<T extends number | bigint>(type: GgufScalarType, value: T): T {
	const range = ranges[type];
	if (range === undefined) return value;
	const integer = typeof value === "bigint" || Number.isInteger(value);
	if (integer && value >= range[0] && value <= range[1]) return value;
	throw new TokError(
		"lm",
		`metadata: expected a value that ${type} can hold, got ${value}; use a wider type`,
	);
}

function padded(length: number, alignment: number): number {
	return Math.ceil(length / alignment) * alignment;
}

/** Bytes that grow as they are written, little-endian. */
class ByteWriter {
	#bytes = new Uint8Array(64 * 1024);
	#view = new DataView(this.#bytes.buffer);
	#length = 0;
	readonly #encoder = new TextEncoder();

	finish(): Uint8Array {
		return this.#bytes.subarray(0, this.#length);
	}

	text(text: string): void {
		const bytes = this.#encoder.encode(text);
		const at = this.#step(bytes.length);
		this.#bytes.set(bytes, at);
	}

	string(text: string): void {
		const bytes = this.#encoder.encode(text);
		this.uint64(bytes.length);
		const at = this.#step(bytes.length);
		this.#bytes.set(bytes, at);
	}

	uint32(value: number): void {
		const at = this.#step(4);
		this.#view.setUint32(at, value, true);
	}

	/** Also writes an int64: the bits are the same. */
	uint64(value: number | bigint): void {
		const at = this.#step(8);
		this.#view.setBigUint64(at, BigInt.asUintN(64, BigInt(value)), true);
	}

	number(type: GgufNumberType | "bool", value: number): void {
		const at = this.#step(leastBytes[type]);
		if (type === "uint8" || type === "bool") this.#view.setUint8(at, value);
		else if (type === "int8") this.#view.setInt8(at, value);
		else if (type === "uint16") this.#view.setUint16(at, value, true);
		else if (type === "int16") this.#view.setInt16(at, value, true);
		else if (type === "uint32") this.#view.setUint32(at, value, true);
		else if (type === "int32") this.#view.setInt32(at, value, true);
		else if (type === "float32") this.#view.setFloat32(at, value, true);
		else this.#view.setFloat64(at, value, true);
	}

	/** Makes room for `length` bytes and steps over them; returns where they begin in the buffer, which it may replace. */
	#step(length: number): number {
		const at = this.#length;
		this.#length += length;
		if (this.#length > this.#bytes.length) {
			const larger = new Uint8Array(2 * this.#length);
			larger.set(this.#bytes);
			this.#bytes = larger;
			this.#view = new DataView(larger.buffer);
		}
		return at;
	}
}
