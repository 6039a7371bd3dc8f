/**
 * Every element type that tok knows by name: ggml's (with the id that GGUF stores) and safetensors' dtypes. A type
 * without `dequantize` can be named, measured and copied, but not read as numbers. Ids and block sizes: ggml.h and
 * ggml-common.h; the ids of removed types (31–33, 36–38) stay named, because files with them are still about.
 */
import {
	dequantizeQ4_0,
	dequantizeQ4_1,
	dequantizeQ5_0,
	dequantizeQ5_1,
	dequantizeQ8_0,
} from "./blocks-of-32.ts";
import { dequantizeIQ4_NL, dequantizeIQ4_XS, dequantizeMXFP4 } from "./codebooks.ts";
import { dequantizeBF16, dequantizeF16, dequantizeF32 } from "./floats.ts";
import {
	dequantizeQ2_K,
	dequantizeQ3_K,
	dequantizeQ4_K,
	dequantizeQ5_K,
	dequantizeQ6_K,
} from "./k-quants.ts";

export type KnownTensorType =
	| ("F64" | "F32" | "F16" | "BF16" | "F8_E4M3" | "F8_E5M2")
	| ("I64" | "I32" | "I16" | "I8" | "U64" | "U32" | "U16" | "U8" | "BOOL")
	| ("Q4_0" | "Q4_1" | "Q5_0" | "Q5_1" | "Q8_0" | "Q8_1" | "Q1_0" | "Q2_0")
	| ("Q2_K" | "Q3_K" | "Q4_K" | "Q5_K" | "Q6_K" | "Q8_K")
	| ("IQ1_S" | "IQ1_M" | "IQ2_XXS" | "IQ2_XS" | "IQ2_S" | "IQ3_XXS" | "IQ3_S" | "IQ4_NL" | "IQ4_XS")
	| ("TQ1_0" | "TQ2_0" | "MXFP4" | "NVFP4")
	| ("Q4_0_4_4" | "Q4_0_4_8" | "Q4_0_8_8" | "IQ4_NL_4_4" | "IQ4_NL_4_8" | "IQ4_NL_8_8");

/** A type by its name; "unknown 97" for a GGUF id, "unknown F6_E2M3" for a safetensors dtype, that has no entry here. */
export type TensorType = KnownTensorType | `unknown ${string}`;

export interface TensorTypeInfo {
	/** ggml's id, as GGUF stores it; undefined for a type that GGUF does not have. */
	readonly id: number | undefined;
	/** Elements per block, along the innermost dimension. */
	readonly blockSize: number;
	readonly blockBytes: number;
	/**
	 * Whole blocks to float32: `bytes` [n · blockBytes] to `out` [n · blockSize]. The lengths must agree; they are not
	 * checked. `out` is written completely. Undefined when tok cannot read the type.
	 */
	readonly dequantize: ((bytes: Uint8Array, out: Float32Array) => void) | undefined;
}

export const tensorTypes: Readonly<Record<KnownTensorType, TensorTypeInfo>> = {
	F32: type(0, 1, 4, dequantizeF32),
	F16: type(1, 1, 2, dequantizeF16),
	BF16: type(30, 1, 2, dequantizeBF16),
	F64: type(28, 1, 8),
	F8_E4M3: type(undefined, 1, 1),
	F8_E5M2: type(undefined, 1, 1),
	I64: type(27, 1, 8),
	I32: type(26, 1, 4),
	I16: type(25, 1, 2),
	I8: type(24, 1, 1),
	U64: type(undefined, 1, 8),
	U32: type(undefined, 1, 4),
	U16: type(undefined, 1, 2),
	U8: type(undefined, 1, 1),
	BOOL: type(undefined, 1, 1),
	Q4_0: type(2, 32, 18, dequantizeQ4_0),
	Q4_1: type(3, 32, 20, dequantizeQ4_1),
	Q5_0: type(6, 32, 22, dequantizeQ5_0),
	Q5_1: type(7, 32, 24, dequantizeQ5_1),
	Q8_0: type(8, 32, 34, dequantizeQ8_0),
	Q8_1: type(9, 32, 36),
	Q2_K: type(10, 256, 84, dequantizeQ2_K),
	Q3_K: type(11, 256, 110, dequantizeQ3_K),
	Q4_K: type(12, 256, 144, dequantizeQ4_K),
	Q5_K: type(13, 256, 176, dequantizeQ5_K),
	Q6_K: type(14, 256, 210, dequantizeQ6_K),
	Q8_K: type(15, 256, 292),
	IQ2_XXS: type(16, 256, 66),
	IQ2_XS: type(17, 256, 74),
	IQ3_XXS: type(18, 256, 98),
	IQ1_S: type(19, 256, 50),
	IQ4_NL: type(20, 32, 18, dequantizeIQ4_NL),
	IQ3_S: type(21, 256, 110),
	IQ2_S: type(22, 256, 82),
	IQ4_XS: type(23, 256, 136, dequantizeIQ4_XS),
	IQ1_M: type(29, 256, 56),
	Q4_0_4_4: type(31, 32, 18),
	Q4_0_4_8: type(32, 32, 18),
	Q4_0_8_8: type(33, 32, 18),
	TQ1_0: type(34, 256, 54),
	TQ2_0: type(35, 256, 66),
	IQ4_NL_4_4: type(36, 32, 18),
	IQ4_NL_4_8: type(37, 32, 18),
	IQ4_NL_8_8: type(38, 32, 18),
	MXFP4: type(39, 32, 17, dequantizeMXFP4),
	NVFP4: type(40, 64, 36),
	Q1_0: type(41, 128, 18),
	Q2_0: type(42, 64, 18),
};

/** The names of the types that tok reads as numbers. */
export const readableTypes: readonly KnownTensorType[] = (
	Object.keys(tensorTypes) as KnownTensorType[]
).filter((name) => tensorTypes[name].dequantize !== undefined);

const namesById: ReadonlyMap<number, KnownTensorType> = new Map(
	(Object.keys(tensorTypes) as KnownTensorType[]).flatMap((name) => {
		const { id } = tensorTypes[name];
		return id === undefined ? [] : [[id, name] as const];
	}),
);

/** The type that GGUF stores as `id`. */
export function tensorTypeOfId(id: number): TensorType {
	return namesById.get(id) ?? `unknown ${id}`;
}

/** The type that safetensors calls `dtype`. GGUF's block types do not exist there. */
export function tensorTypeOfDtype(dtype: string): TensorType {
	const known = Object.hasOwn(tensorTypes, dtype) && tensorTypes[dtype as KnownTensorType].blockSize === 1;
	return known ? (dtype as KnownTensorType) : `unknown ${dtype}`;
}

/** Size and dequantiser of a type; undefined for an unknown one. */
export function tensorTypeInfo(name: TensorType): TensorTypeInfo | undefined {
	return Object.hasOwn(tensorTypes, name) ? tensorTypes[name as KnownTensorType] : undefined;
}

function type(
	id: number | undefined,
	blockSize: number,
	blockBytes: number,
	dequantize?: TensorTypeInfo["dequantize"],
): TensorTypeInfo {
	return { id, blockSize, blockBytes, dequantize };
}
