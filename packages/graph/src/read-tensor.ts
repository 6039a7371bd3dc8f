/**
 * Reads TensorProto: raw bytes as views of the file, the older per-type fields as little-endian bytes, external data
 * as where it lies. Other programs' graphs use more element types than the builder's seven.
 * Formats: onnx.proto, TensorProto (IR version 13).
 */
import type { TensorProto } from "onnx-buf";
import type { DType } from "./types.ts";

/** Every element type of ONNX; the builder's dtypes are among them. */
export type ElementType =
	| DType
	| "uint16"
	| "int16"
	| "uint32"
	| "uint64"
	| "float64"
	| "bfloat16"
	| "string"
	| "complex64"
	| "complex128"
	| "float8e4m3fn"
	| "float8e4m3fnuz"
	| "float8e5m2"
	| "float8e5m2fnuz"
	| "float8e8m0"
	| "float4e2m1"
	| "uint4"
	| "int4"
	| "uint2"
	| "int2";

/** Element types by their code in TensorProto.DataType; bits of one element, 0 where bytes do not say it. */
const elements: readonly (readonly [ElementType | "undefined", number])[] = [
	["undefined", 0],
	["float32", 32],
	["uint8", 8],
	["int8", 8],
	["uint16", 16],
	["int16", 16],
	["int32", 32],
	["int64", 64],
	["string", 0],
	["bool", 8],
	["float16", 16],
	["float64", 64],
	["uint32", 32],
	["uint64", 64],
	["complex64", 64],
	["complex128", 128],
	["bfloat16", 16],
	["float8e4m3fn", 8],
	["float8e4m3fnuz", 8],
	["float8e5m2", 8],
	["float8e5m2fnuz", 8],
	["uint4", 4],
	["int4", 4],
	["float4e2m1", 4],
	["float8e8m0", 8],
	["uint2", 2],
	["int2", 2],
];

/** Where the elements are: in the file, little-endian and row-major, or outside it. */
export type TensorContents =
	| { readonly kind: "inline"; readonly bytes: Uint8Array }
	| {
			readonly kind: "external";
			readonly path: string;
			/** In bytes. */
			readonly offset: number;
			/** In bytes; undefined: as many as the tensor has. */
			readonly length: number | undefined;
	  };

export interface TensorSummary {
	readonly name: string;
	readonly dtype: ElementType;
	readonly dims: readonly number[];
	readonly contents: TensorContents;
}

/** What is wrong with the graph; `readGraph` says whose it is. */
export class Damage extends Error {}

export function elementType(code: number, where: string): ElementType {
	const name = elements[code]?.[0];
	if (name !== undefined && name !== "undefined") return name;
	throw new Damage(`${where} to have an element type, got the code ${code}`);
}

export function length(value: bigint, where: string): number {
	if (value >= 0n && value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
	throw new Damage(`${where} to be an integer ≥ 0 that a number can hold, got ${value}`);
}

export function readTensor(proto: TensorProto, where: string): TensorSummary {
	const dtype = elementType(proto.dataType, where);
	const dims = proto.dims.map((dim) => length(dim, `a dimension of ${where}`));
	const count = dims.reduce((product, dim) => product * dim, 1);
	const bits = elements[proto.dataType]?.[1] ?? 0;
	if (bits === 0) throw new Damage(`${where} to hold numbers, got ${dtype}s`);
	const size = Math.ceil((count * bits) / 8);
	const base = { name: proto.name, dtype, dims };
	if (proto.dataLocation === 1) return { ...base, contents: readExternal(proto, size, where) };
	const bytes = proto.rawData.byteLength > 0 ? proto.rawData : typedBytes(proto, bits);
	if (bytes.byteLength !== size) {
		throw new Damage(`${where} ${dtype} [${dims.join(", ")}] to have ${size} bytes, got ${bytes.byteLength}`);
	}
	return { ...base, contents: { kind: "inline", bytes } };
}

function readExternal(proto: TensorProto, size: number, where: string): TensorContents {
	const entries = new Map(proto.externalData.map(({ key, value }) => [key, value]));
	const path = entries.get("location");
	if (path === undefined || path === "") throw new Damage(`${where} to say where its external data lies`);
	const bytes = (key: string): number | undefined => {
		const text = entries.get(key);
		if (text === undefined) return undefined;
		if (!/^\d{1,15}$/.test(text))
			throw new Damage(`the ${key} of ${where} to be a number of bytes, got ${JSON.stringify(text)}`);
		return Number(text);
	};
	const extent = bytes("length");
	if (extent !== undefined && extent !== size)
		throw new Damage(`${where} to have ${size} bytes, got ${extent} outside`);
	return { kind: "external", path, offset: bytes("offset") ?? 0, length: extent };
}

/** The fields from before raw data: 32-bit integers carry everything narrower, one element each. */
function typedBytes(proto: TensorProto, bits: number): Uint8Array {
	const { floatData, int32Data, int64Data, doubleData, uint64Data } = proto;
	if (floatData.length > 0) return bytesOf(Float32Array.from(floatData));
	if (doubleData.length > 0) return bytesOf(Float64Array.from(doubleData));
	if (int64Data.length > 0) return bytesOf(BigInt64Array.from(int64Data));
	if (uint64Data.length > 0)
		return bytesOf(bits === 32 ? Uint32Array.from(uint64Data, Number) : BigUint64Array.from(uint64Data));
	// Below 8 bits every integer is a byte of packed elements.
	if (bits <= 8) return Uint8Array.from(int32Data);
	return bytesOf(bits === 16 ? Uint16Array.from(int32Data) : Int32Array.from(int32Data));
}

function bytesOf(array: ArrayBufferView): Uint8Array {
	return new Uint8Array(array.buffer as ArrayBuffer, array.byteOffset, array.byteLength);
}
