/**
 * GGUF's metadata values with their stored types, so that a file can be written back as it was. Value type ids: GGUF
 * specification (ggml, docs/gguf.md).
 */
import type { HeaderCursor } from "./header-cursor.ts";
import type { MetadataValue } from "./tensor-file.ts";

export type GgufNumberType =
	| "uint8"
	| "int8"
	| "uint16"
	| "int16"
	| "uint32"
	| "int32"
	| "float32"
	| "float64";
export type GgufScalarType = GgufNumberType | "uint64" | "int64" | "bool" | "string";

export type GgufValue =
	| { readonly type: GgufNumberType; readonly value: number }
	| { readonly type: "uint64" | "int64"; readonly value: bigint }
	| { readonly type: "bool"; readonly value: boolean }
	| { readonly type: "string"; readonly value: string }
	| GgufArray;

export type GgufArray =
	| { readonly type: "array"; readonly of: GgufNumberType; readonly value: readonly number[] }
	| { readonly type: "array"; readonly of: "uint64" | "int64"; readonly value: readonly bigint[] }
	| { readonly type: "array"; readonly of: "bool"; readonly value: readonly boolean[] }
	| { readonly type: "array"; readonly of: "string"; readonly value: readonly string[] }
	| { readonly type: "array"; readonly of: "array"; readonly value: readonly GgufArray[] };

/** Value types in the order of their ids. */
export const valueTypes: readonly (GgufScalarType | "array")[] = [
	...(["uint8", "int8", "uint16", "int16", "uint32", "int32", "float32", "bool"] as const),
	...(["string", "array", "uint64", "int64", "float64"] as const),
];

/** The bytes of a number or boolean, and the fewest that others can take: a string's length, an array's type and count. */
export const leastBytes: Readonly<Record<GgufScalarType | "array", number>> = {
	...{ uint8: 1, int8: 1, bool: 1, uint16: 2, int16: 2, uint32: 4, int32: 4, float32: 4 },
	...{ uint64: 8, int64: 8, float64: 8, string: 8, array: 12 },
};

/** ggml nests no arrays at all; beyond this depth a file is hostile rather than unusual. */
const deepest = 4;

/** Reads a value type and the value. */
export function readValue(cursor: HeaderCursor): GgufValue {
	const type = readType(cursor);
	if (type === "array") return readArray(cursor, 1);
	return { type, value: readScalar(cursor, type) } as GgufValue;
}

/** The value alone, as `TensorFile.metadata` gives it. */
export function plainValue(value: GgufValue): MetadataValue {
	if (value.type !== "array") return plainScalar(value.value);
	if (value.of === "array") return value.value.map(plainValue);
	return value.of === "uint64" || value.of === "int64" ? value.value.map(plainScalar) : value.value;
}

function plainScalar(value: string | number | bigint | boolean): string | number | bigint | boolean {
	if (typeof value !== "bigint") return value;
	return BigInt.asIntN(54, value) === value ? Number(value) : value;
}

function readArray(cursor: HeaderCursor, depth: number): GgufArray {
	if (depth > deepest) throw cursor.damaged(`nests arrays more than ${deepest} deep`);
	const of = readType(cursor);
	const count = cursor.count(leastBytes[of]);
	const value: unknown[] = [];
	for (let i = 0; i < count; i++)
		value.push(of === "array" ? readArray(cursor, depth + 1) : readScalar(cursor, of));
	return { type: "array", of, value } as GgufArray;
}

function readType(cursor: HeaderCursor): GgufScalarType | "array" {
	const id = cursor.uint32();
	const type = valueTypes[id];
	if (type === undefined)
		throw cursor.damaged(`expected a value type of 0 to ${valueTypes.length - 1}, got ${id}`);
	return type;
}

function readScalar(cursor: HeaderCursor, type: GgufScalarType): string | number | bigint | boolean {
	if (type !== "bool") return cursor[type]();
	const byte = cursor.uint8();
	if (byte > 1) throw cursor.damaged(`expected a boolean of 0 or 1, got ${byte}`);
	return byte === 1;
}
