/**
 * A file of named tensors, whatever its format. Opening reads the header alone; tensors are read one by one, on demand.
 * Host and file are little-endian. The readers: `openGguf`, `openSafetensors`, and `openTensorFile` for either.
 */
import type { TensorType } from "./dequantize/tensor-types.ts";

export type { TensorType } from "./dequantize/tensor-types.ts";

/** 64-bit integers are numbers where a number holds them exactly, and bigints beyond. */
export type MetadataValue = string | number | bigint | boolean | readonly MetadataValue[];

export interface TensorInfo {
	readonly name: string;
	readonly type: TensorType;
	/** Row-major, outermost first (GGUF's order reversed); [] is a scalar. */
	readonly dims: readonly number[];
	/** Bytes in the file. For an unknown type: up to the next tensor. */
	readonly byteLength: number;
}

export interface TensorFile {
	readonly path: string;
	/** Another one when one of the files behind it has changed; undefined when they are no files. */
	readonly stamp: string | undefined;
	readonly metadata: ReadonlyMap<string, MetadataValue>;
	/** By name, in the order of the file. */
	readonly tensors: ReadonlyMap<string, TensorInfo>;
	/**
	 * The stored bytes, or the part [begin, end) of them, in a buffer of their own: `new BigInt64Array(bytes.buffer)` views
	 * an I64 tensor. Throws for a part that does not lie within the tensor.
	 */
	readBytes(name: string, begin?: number, end?: number): Uint8Array<ArrayBuffer>;
	/**
	 * All elements as float32, row-major; written to `out`, which is as long, where it is given. Throws for a type without
	 * a dequantiser.
	 */
	read(name: string, out?: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer>;
	/**
	 * Rows [begin, end) of the outermost dimension as float32 [end − begin, …dims.slice(1)]; only their bytes are read.
	 * Throws for rows that do not exist, and for rows that are not whole blocks.
	 */
	readRows(name: string, begin: number, end: number): Float32Array<ArrayBuffer>;
	/** Idempotent; reads throw afterwards. */
	close(): void;
	[Symbol.dispose](): void;
}
