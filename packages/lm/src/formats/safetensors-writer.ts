/**
 * Writes safetensors. As the reference implementation does, the header is padded with spaces to a multiple of 8 and
 * wider elements come first, so that every tensor is aligned to its element size.
 */
import { TokError } from "@tok/runtime";
import { type TensorType, tensorTypeInfo, tensorTypeOfDtype } from "./dequantize/tensor-types.ts";
import { concatenate, contentBytes, measure, type TensorContent } from "./tensor-content.ts";

export interface SafetensorsContent {
	readonly tensors: readonly TensorContent[];
	/** Defaults to none. */
	readonly metadata?: ReadonlyMap<string, string>;
}

/** A file in memory. Throws for block types, repeated names and data of another length. */
export function encodeSafetensors(content: SafetensorsContent): Uint8Array<ArrayBuffer> {
	return concatenate(encode(content));
}

function* encode({ tensors, metadata }: SafetensorsContent): Generator<Uint8Array> {
	const sizes = measure(tensors);
	for (const { name, type } of tensors) checkTensor(name, type);
	const placed = tensors
		.map((tensor, index) => ({ tensor, byteLength: sizes[index] as number }))
		.sort((a, b) => elementBytes(b.tensor) - elementBytes(a.tensor));
	yield encodeHeader(placed, metadata);
	for (const { tensor, byteLength } of placed) yield contentBytes(tensor, byteLength);
}

function checkTensor(name: string, type: TensorType): void {
	if (name === "__metadata__")
		throw new TokError("lm", "tensor names: __metadata__ is reserved by safetensors; rename it");
	if (tensorTypeOfDtype(type) !== type) {
		throw new TokError(
			"lm",
			`tensor ${name}: expected a safetensors dtype, got ${type}; dequantise it, or write GGUF`,
		);
	}
}

function elementBytes({ type }: TensorContent): number {
	return tensorTypeInfo(type)?.blockBytes ?? 0;
}

function encodeHeader(
	placed: readonly { readonly tensor: TensorContent; readonly byteLength: number }[],
	metadata: ReadonlyMap<string, string> | undefined,
): Uint8Array {
	const entries: [string, unknown][] = [];
	if (metadata !== undefined) entries.push(["__metadata__", Object.fromEntries(metadata)]);
	let offset = 0;
	for (const { tensor, byteLength } of placed) {
		const range = [offset, offset + byteLength];
		entries.push([tensor.name, { dtype: tensor.type, shape: tensor.dims, data_offsets: range }]);
		offset += byteLength;
	}
	const json = new TextEncoder().encode(JSON.stringify(Object.fromEntries(entries)));
	const length = Math.ceil(json.length / 8) * 8;
	const header = new Uint8Array(8 + length).fill(0x20);
	new DataView(header.buffer).setBigUint64(0, BigInt(length), true);
	header.set(json, 8);
	return header;
}
