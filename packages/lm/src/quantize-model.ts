/**
 * A GGUF file with its matrices in another type. Metadata, tokenizer and vectors stay as they are; the embedding table,
 * which is mostly the head as well and shows errors most, is Q8_0 at the least.
 */

import { TokError } from "@tok/runtime";
import { readGguf } from "./formats/gguf.ts";
import type { GgufValue } from "./formats/gguf-values.ts";
import { ggufChunks } from "./formats/gguf-writer.ts";
import { writeBytes } from "./formats/open-bytes.ts";
import { quantizeQ4_0, quantizeQ8_0 } from "./formats/quantize/blocks-of-32.ts";
import type { TensorContent } from "./formats/tensor-content.ts";
import type { TensorFile, TensorInfo } from "./formats/tensor-file.ts";
import type { WriteTarget } from "./model.ts";
import type { ModelSource } from "./model-files.ts";
import { openFiles } from "./open-files.ts";
import type { ResolveOptions } from "./resolve/resolve-model.ts";

/** Types that `quantizeModel` writes. */
export const quantizeTypes = ["Q8_0", "Q4_0"] as const;
export type QuantizeType = (typeof quantizeTypes)[number];

export interface QuantizeOptions extends ResolveOptions {
	readonly type: QuantizeType;
	/** The new file's path: written aside, then renamed. Or a stream. */
	readonly out: WriteTarget;
}

export interface QuantizeReport {
	/** Undefined when it was written to a stream. */
	readonly path: string | undefined;
	readonly type: QuantizeType;
	/** Bytes of the tensors, before and after. */
	readonly before: number;
	readonly after: number;
}

/** ggml's numbers for the mostly used type of a file, `general.file_type`. */
const fileTypes: Readonly<Record<QuantizeType, number>> = { Q4_0: 2, Q8_0: 7 };
const blockBytes: Readonly<Record<QuantizeType, number>> = { Q4_0: 18, Q8_0: 34 };

/**
 * Writes a model anew. Rounding a file that is quantised already adds an error to its own: the better source
 * is one in F16 or F32.
 * @throws TokError when the model is no GGUF file, is damaged, or the new one cannot be written.
 */
export async function quantizeModel(
	source: ModelSource,
	{ type, out, ...options }: QuantizeOptions,
): Promise<QuantizeReport> {
	const found = await openFiles(source, options);
	if (found.format !== "gguf")
		throw new TokError(
			"lm",
			`${found.path}: expected a GGUF file to quantise, got a folder in transformers' layout. Convert it first.`,
		);
	const file = readGguf(found.source);
	try {
		const tensors = [...file.tensors.values()].map((info) => converted(file, info, type));
		const values = new Map(file.values);
		values.set("general.file_type", { type: "uint32", value: fileTypes[type] } as GgufValue);
		const before = [...file.tensors.values()].reduce((sum, { byteLength }) => sum + byteLength, 0);
		let after = 0;
		const chunks = ggufChunks({ values, tensors }, (index, bytes) => {
			after += bytes;
			options.onProgress?.({
				stage: "read",
				label: tensors[index]?.name ?? "",
				loaded: index + 1,
				total: tensors.length,
			});
		});
		await writeBytes(out, chunks, options.signal);
		return { path: typeof out === "string" ? out : undefined, type, before, after };
	} finally {
		file.close();
	}
}

function converted(file: TensorFile, info: TensorInfo, type: QuantizeType): TensorContent {
	const { name, dims } = info;
	const columns = dims.at(-1) ?? 0;
	const target = name === "token_embd.weight" || name === "output.weight" ? "Q8_0" : type;
	// Vectors are few and exact; a row that is no whole number of blocks has no place in these types.
	if (dims.length !== 2 || columns % 32 !== 0 || info.type === target)
		return { name, type: info.type, dims, data: () => file.readBytes(name) };
	const quantize = target === "Q8_0" ? quantizeQ8_0 : quantizeQ4_0;
	const data = (): Uint8Array => {
		const weights = file.read(name);
		const bytes = new Uint8Array((weights.length / 32) * blockBytes[target]);
		quantize(weights, bytes);
		return bytes;
	};
	return { name, type: target, dims, data };
}
