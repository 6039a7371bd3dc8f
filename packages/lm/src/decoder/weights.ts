/**
 * A decoder's tensors under transformers' names, whatever the file calls them, with their shapes checked.
 * Nothing is read before it is asked for.
 */
import { TokError } from "@tok/runtime";
import { ggufTensorNames } from "../architectures/gguf-config.ts";
import type { TensorFile, TensorInfo } from "../formats/tensor-file.ts";

/** Finds the name under which a file holds a tensor; undefined when it does not. */
export type TensorNames = (name: string, file: TensorFile) => string | undefined;

export const transformersNames: TensorNames = (name, { tensors }) =>
	[`model.${name}`, name, `language_model.model.${name}`, `model.language_model.${name}`].find((known) =>
		tensors.has(known),
	);

export const ggufNames: TensorNames = (name, { tensors }) =>
	ggufTensorNames(name).find((known) => tensors.has(known));

/** A matrix that still lies in its file. */
export interface StoredMatrix {
	readonly info: TensorInfo;
	readonly rows: number;
	readonly columns: number;
}

export class Weights {
	readonly #file: TensorFile;
	readonly #names: TensorNames;

	constructor(file: TensorFile, names: TensorNames) {
		this.#file = file;
		this.#names = names;
	}

	get file(): TensorFile {
		return this.#file;
	}

	has(name: string): boolean {
		return this.#names(name, this.#file) !== undefined;
	}

	/** Dimensions of a tensor, outermost first. Throws when the file does not hold it. */
	info(name: string): TensorInfo {
		const known = this.#names(name, this.#file);
		const info = known === undefined ? undefined : this.#file.tensors.get(known);
		if (info === undefined)
			throw new TokError(
				"lm",
				`${this.#file.path}: expected the tensor ${name}, which is missing. The file is incomplete or of another architecture.`,
			);
		return info;
	}

	/** [...dims] as float32. */
	tensor(name: string, dims: readonly number[]): Float32Array {
		return this.#file.read(this.check(name, dims).name);
	}

	/** Where a matrix [rows, columns] lies. */
	matrix(name: string, rows: number, columns: number): StoredMatrix {
		return { info: this.check(name, [rows, columns]), rows, columns };
	}

	/** Throws unless the file holds the tensor in this shape. */
	check(name: string, dims: readonly number[]): TensorInfo {
		const info = this.info(name);
		if (info.dims.length !== dims.length || info.dims.some((dim, axis) => dim !== dims[axis]))
			throw new TokError(
				"lm",
				`${this.#file.path}: ${info.name}: expected the shape [${dims.join(", ")}] that the configuration implies, ` +
					`got [${info.dims.join(", ")}]. The file is damaged, or its configuration belongs to another model.`,
			);
		return info;
	}
}
