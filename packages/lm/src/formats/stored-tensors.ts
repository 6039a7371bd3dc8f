/**
 * The part that every format shares once its header is understood: tensors that lie at known offsets of byte sources.
 * Formats check offsets and lengths against the source before they come here.
 */
import { TokError } from "@tok/runtime";
import type { ByteSource } from "./byte-source.ts";
import { quote } from "./damaged-file.ts";
import { readableTypes, type TensorTypeInfo, tensorTypeInfo } from "./dequantize/tensor-types.ts";
import type { MetadataValue, TensorFile, TensorInfo } from "./tensor-file.ts";

export interface StoredTensor extends TensorInfo {
	readonly source: ByteSource;
	/** Of the first byte, from the start of the source. */
	readonly offset: number;
}

type ReadableType = TensorTypeInfo & { readonly dequantize: NonNullable<TensorTypeInfo["dequantize"]> };

export class StoredTensorFile implements TensorFile {
	readonly path: string;
	readonly stamp: string | undefined;
	readonly metadata: ReadonlyMap<string, MetadataValue>;
	readonly tensors: ReadonlyMap<string, StoredTensor>;
	readonly #sources: readonly ByteSource[];

	/** Takes over `sources`: `close` closes them. */
	constructor(
		path: string,
		metadata: ReadonlyMap<string, MetadataValue>,
		tensors: ReadonlyMap<string, StoredTensor>,
		sources: readonly ByteSource[],
	) {
		this.path = path;
		this.metadata = metadata;
		this.tensors = tensors;
		this.#sources = sources;
		const stamps = sources.map(({ stamp }) => stamp);
		this.stamp = stamps.includes(undefined) ? undefined : stamps.join(", ");
	}

	readBytes(name: string, begin = 0, end?: number): Uint8Array<ArrayBuffer> {
		const { source, offset, byteLength } = this.#find(name);
		const stop = end ?? byteLength;
		const integers = Number.isInteger(begin) && Number.isInteger(stop);
		if (!integers || begin < 0 || stop < begin || stop > byteLength)
			throw new TokError(
				"lm",
				`${this.path}: expected bytes within [0, ${byteLength}) of tensor ${quote(name)}, got [${begin}, ${stop})`,
			);
		return source.read(offset + begin, stop - begin);
	}

	read(name: string, out?: Float32Array<ArrayBuffer>): Float32Array<ArrayBuffer> {
		const { source, offset, byteLength } = this.#find(name);
		const type = this.#readable(name);
		const elements = elementsOf(type, byteLength);
		if (out !== undefined && out.length !== elements)
			throw new TokError(
				"lm",
				`${this.path}: expected room for the ${elements} elements of tensor ${quote(name)}, got ${out.length}; give an ` +
					"array of its length",
			);
		return this.#dequantize(name, type, () => source.read(offset, byteLength), byteLength, out);
	}

	readRows(name: string, begin: number, end: number): Float32Array<ArrayBuffer> {
		const { source, offset, byteLength, dims } = this.#find(name);
		const type = this.#readable(name);
		const rows = dims[0];
		const integers = Number.isInteger(begin) && Number.isInteger(end);
		if (rows === undefined || !integers || begin < 0 || end < begin || end > rows) {
			throw new TokError(
				"lm",
				`${this.path}: expected rows within [0, ${rows ?? 0}) of tensor ${quote(name)}, got [${begin}, ${end})`,
			);
		}
		const rowBytes = rows === 0 ? 0 : byteLength / rows;
		if (rowBytes % type.blockBytes !== 0) {
			throw new TokError(
				"lm",
				`${this.path}: expected rows of whole ${type.blockSize}-element blocks, got tensor ${quote(name)} with dims ` +
					`[${dims.join(", ")}]; use read()`,
			);
		}
		const length = (end - begin) * rowBytes;
		return this.#dequantize(name, type, () => source.read(offset + begin * rowBytes, length), length);
	}

	close(): void {
		for (const source of this.#sources) source.close();
	}

	[Symbol.dispose](): void {
		this.close();
	}

	#find(name: string): StoredTensor {
		const tensor = this.tensors.get(name);
		if (tensor !== undefined) return tensor;
		const some = [...this.tensors.keys()].slice(0, 3).map(quote).join(", ");
		throw new TokError(
			"lm",
			`${this.path}: expected a tensor ${quote(name)}, but none of its ${this.tensors.size} tensors has that name ` +
				`(the first are ${some || "none"}); check that the file is of the architecture that it claims`,
		);
	}

	#readable(
		name: string,
	): TensorTypeInfo & { readonly dequantize: NonNullable<TensorTypeInfo["dequantize"]> } {
		const { type } = this.#find(name);
		const info = tensorTypeInfo(type);
		if (info?.dequantize === undefined) {
			throw new TokError(
				"lm",
				`${this.path}: expected tensor ${quote(name)} in one of the types ${readableTypes.join(", ")}, got ` +
					`${quote(type)}; use a file of the model in one of these, such as Q4_0, Q8_0 or F16`,
			);
		}
		return { ...info, dequantize: info.dequantize };
	}

	#dequantize(
		name: string,
		type: ReadableType,
		bytes: () => Uint8Array,
		byteLength: number,
		out = this.#memoryFor(name, elementsOf(type, byteLength)),
	): Float32Array<ArrayBuffer> {
		type.dequantize(bytes(), out);
		return out;
	}

	#memoryFor(name: string, elements: number): Float32Array<ArrayBuffer> {
		try {
			return new Float32Array(elements);
		} catch (cause) {
			throw new TokError(
				"lm",
				`${this.path}: expected memory for the ${elements} elements of tensor ${quote(name)}, got none; use a smaller ` +
					"model",
				{ cause },
			);
		}
	}
}

function elementsOf({ blockBytes, blockSize }: ReadableType, byteLength: number): number {
	return (byteLength / blockBytes) * blockSize;
}
