/**
 * The seven dtypes: their codes in ONNX (TensorProto.DataType), their typed arrays, and rounding to float16.
 */
import type { DType, TypedArrays } from "./types.ts";

/** TensorProto.DataType of onnx.proto. */
export const onnxCodes: Readonly<Record<DType, number>> = {
	float32: 1,
	uint8: 2,
	int8: 3,
	int32: 6,
	int64: 7,
	bool: 9,
	float16: 10,
};

const arrays = {
	float32: Float32Array,
	float16: Uint16Array,
	int64: BigInt64Array,
	int32: Int32Array,
	uint8: Uint8Array,
	int8: Int8Array,
	bool: Uint8Array,
} as const;

/** The name of the typed array that holds a dtype, for messages. */
export function arrayName(dtype: DType): string {
	return arrays[dtype].name;
}

export function isDType(value: unknown): value is DType {
	return typeof value === "string" && Object.hasOwn(onnxCodes, value);
}

/** Whether `data` is the typed array of `dtype`. By tag, so that an array of another realm passes. */
export function holds(dtype: DType, data: unknown): boolean {
	return Object.prototype.toString.call(data) === `[object ${arrayName(dtype)}]`;
}

/** Numbers as the typed array of a dtype; float16 is rounded to nearest, ties to even. */
export function toTypedArray<D extends DType>(dtype: D, numbers: readonly number[]): TypedArrays[D];
export function toTypedArray(dtype: DType, numbers: readonly number[]): TypedArrays[DType] {
	if (dtype === "int64") return BigInt64Array.from(numbers, BigInt);
	if (dtype === "float16") return Uint16Array.from(numbers, float16Bits);
	return arrays[dtype].from(numbers);
}

/** The bits of the float16 nearest to `value` (IEEE 754 binary16, ties to even). */
export function float16Bits(value: number): number {
	if (Number.isNaN(value)) return 0x7e00;
	const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
	const magnitude = Math.abs(value);
	if (magnitude >= 65520) return sign | 0x7c00;
	let exponent = Math.floor(Math.log2(magnitude));
	// log2 is rounded: near a power of two it may be one off.
	if (2 ** exponent > magnitude) exponent--;
	else if (2 ** (exponent + 1) <= magnitude) exponent++;
	exponent = Math.max(exponent, -14);
	const steps = magnitude / 2 ** (exponent - 10);
	const floor = Math.floor(steps);
	const half = steps - floor;
	const rounded = floor + (half > 0.5 || (half === 0.5 && floor % 2 === 1) ? 1 : 0);
	return sign | (((exponent + 14) << 10) + rounded);
}
