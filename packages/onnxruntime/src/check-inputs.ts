/**
 * Compares a run's inputs with what the graph declares, before onnxruntime sees them: its own messages name neither
 * dtypes nor symbols, and it takes feeds that no input reads without a word.
 */
import type { DType, Tensor } from "@tok/runtime";
import type * as ort from "onnxruntime-common";
import type { Resources } from "./resources.ts";

type Declared = ort.InferenceSession.ValueMetadata;
type Feeds = Readonly<Record<string, Tensor>>;
type Buffers = Readonly<Record<string, ort.Tensor>>;

const arrays: Readonly<Record<DType, string>> = {
	float32: "Float32Array",
	float16: "Uint16Array",
	int64: "BigInt64Array",
	int32: "Int32Array",
	uint8: "Uint8Array",
	int8: "Int8Array",
	bool: "Uint8Array",
};

type Wrong = (name: string, expected: string, got: string) => Error;

/** What a symbol stands for in a run, and the input that said so first. */
type Symbols = Map<string, { readonly value: number; readonly input: string }>;

/**
 * Checks the inputs of one graph's runs. A store's buffers are the same objects from step to step, so they are looked
 * at once: a step costs what its feeds cost.
 */
export class InputCheck {
	readonly #inputs: ReadonlyMap<string, Declared>;
	/** Symbols of buffers that were found to fit, and how many inputs they feed. */
	readonly #known = new WeakMap<Buffers, { readonly symbols: Symbols; readonly count: number }>();

	readonly #wrong: Wrong;

	constructor(resources: Resources, inputs: readonly Declared[]) {
		this.#wrong = (name, expected, got) =>
			resources.error(`run: input ${name}: expected ${expected}, got ${got}.`);
		this.#inputs = new Map(inputs.map((input) => [input.name, input]));
	}

	/**
	 * Throws unless every input has either a feed or a buffer of the store, of its dtype and dims, with a symbol having
	 * one value throughout, and every feed belongs to an input.
	 */
	check(feeds: Feeds, buffers: Buffers): void {
		let fed = 0;
		for (const name in feeds) {
			if (!this.#inputs.has(name))
				throw this.#wrong(name, `a name among ${[...this.#inputs.keys()].join(", ") || "none"}`, "a feed");
			if (name in buffers) throw this.#wrong(name, "the store's buffer alone", "a feed too");
			fed++;
		}
		const known = this.#ofBuffers(buffers);
		if (fed + known.count !== this.#inputs.size) throw this.#missing(feeds, buffers);
		const symbols: Symbols = new Map(known.symbols);
		for (const name in feeds) {
			const feed = feeds[name] as Tensor;
			checkShape(this.#inputs.get(name) as Declared, feed.dtype, feed.dims, symbols, this.#wrong);
			checkElements(name, feed, this.#wrong);
		}
	}

	#ofBuffers(buffers: Buffers): { readonly symbols: Symbols; readonly count: number } {
		const known = this.#known.get(buffers);
		if (known !== undefined) return known;
		const symbols: Symbols = new Map();
		let count = 0;
		for (const input of this.#inputs.values()) {
			const buffer = buffers[input.name];
			if (buffer === undefined) continue;
			checkShape(input, buffer.type, buffer.dims, symbols, this.#wrong);
			count++;
		}
		this.#known.set(buffers, { symbols, count });
		return { symbols, count };
	}

	#missing(feeds: Feeds, buffers: Buffers): Error {
		const name = [...this.#inputs.keys()].find((each) => !(each in feeds || each in buffers));
		return this.#wrong(name ?? "", "a tensor from the feeds or the store", "none");
	}
}

function checkShape(
	input: Declared,
	dtype: string,
	dims: readonly number[],
	symbols: Symbols,
	wrong: Wrong,
): void {
	if (!input.isTensor) return;
	const { name, type, shape } = input;
	const got = (): string => format(dtype, dims);
	// A scalar and an input of unknown rank are declared alike: onnxruntime tells them apart.
	const rank = shape.length === 0 ? dims.length : shape.length;
	if (dtype !== type || dims.length !== rank || !dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0))
		throw wrong(name, format(type, shape), got());
	shape.forEach((dim, axis) => {
		const value = dims[axis] as number;
		if (typeof dim === "number") {
			if (value !== dim) throw wrong(name, format(type, shape), got());
		} else if (dim !== "") {
			const known = symbols.get(dim);
			if (known === undefined) symbols.set(dim, { value, input: name });
			else if (known.value !== value)
				throw wrong(name, `${format(type, shape)} with ${dim} = ${known.value} as in ${known.input}`, got());
		}
	});
}

/** As many elements as the dims say, in the dtype's array; by tag, so that an array of another realm passes. */
function checkElements(name: string, { dtype, dims, data }: Tensor, wrong: Wrong): void {
	const length = dims.reduce((product, dim) => product * dim, 1);
	const array = Object.prototype.toString.call(data).slice(8, -1);
	if (array !== arrays[dtype] || data.length !== length)
		throw wrong(
			name,
			`${length} elements in a ${arrays[dtype]} for ${format(dtype, dims)}`,
			`${data?.length} in a ${array}`,
		);
}

function format(dtype: string, dims: readonly (number | string)[]): string {
	return `${dtype} [${dims.map((dim) => (dim === "" ? "?" : dim)).join(", ")}]`;
}
