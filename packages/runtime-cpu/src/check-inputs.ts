/**
 * Compares a run's inputs with what the graph declares, before onnxruntime sees them: its own messages name neither
 * dtypes nor symbols, and it takes feeds that no input reads without a word.
 */
import { type DType, type Tensor, TokError } from "@tok/runtime";
import type * as ort from "onnxruntime-node";

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

/**
 * Throws unless every input has either a feed or a buffer of the store, of its dtype and dims, with a symbol having
 * one value throughout, and every feed belongs to an input.
 */
export function checkInputs(inputs: readonly Declared[], feeds: Feeds, buffers: Buffers): void {
	checkNames(inputs, feeds, buffers);
	const symbols = new Map<string, { readonly value: number; readonly input: string }>();
	for (const input of inputs) {
		const { name } = input;
		const feed = feeds[name];
		const buffer = buffers[name];
		if (feed !== undefined) checkShape(input, feed.dtype, feed.dims, symbols);
		else if (buffer !== undefined) checkShape(input, buffer.type, buffer.dims, symbols);
		if (feed !== undefined) checkElements(name, feed);
	}
}

function checkNames(inputs: readonly Declared[], feeds: Feeds, buffers: Buffers): void {
	const names = new Set(inputs.map(({ name }) => name));
	for (const name of Object.keys(feeds)) {
		if (!names.has(name)) throw wrong(name, `a name among ${[...names].join(", ") || "none"}`, "a feed");
		if (name in buffers) throw wrong(name, "the store's buffer alone", "a feed too");
	}
	for (const name of names)
		if (!(name in feeds || name in buffers))
			throw wrong(name, "a tensor from the feeds or the store", "none");
}

function checkShape(
	input: Declared,
	dtype: string,
	dims: readonly number[],
	symbols: Map<string, { readonly value: number; readonly input: string }>,
): void {
	if (!input.isTensor) return;
	const { name, type, shape } = input;
	const expected = format(type, shape);
	const got = format(dtype, dims);
	// A scalar and an input of unknown rank are declared alike: onnxruntime tells them apart.
	const rank = shape.length === 0 ? dims.length : shape.length;
	if (dtype !== type || dims.length !== rank || !dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0))
		throw wrong(name, expected, got);
	shape.forEach((dim, axis) => {
		const value = dims[axis] as number;
		if (typeof dim === "number") {
			if (value !== dim) throw wrong(name, expected, got);
		} else if (dim !== "") {
			const known = symbols.get(dim);
			if (known === undefined) symbols.set(dim, { value, input: name });
			else if (known.value !== value)
				throw wrong(name, `${expected} with ${dim} = ${known.value} as in ${known.input}`, got);
		}
	});
}

/** As many elements as the dims say, in the dtype's array; by tag, so that an array of another realm passes. */
function checkElements(name: string, { dtype, dims, data }: Tensor): void {
	const length = dims.reduce((product, dim) => product * dim, 1);
	const array = Object.prototype.toString.call(data).slice(8, -1);
	if (array !== arrays[dtype] || data.length !== length)
		throw wrong(
			name,
			`${length} elements in a ${arrays[dtype]} for ${format(dtype, dims)}`,
			`${data?.length} in a ${array}`,
		);
}

function wrong(name: string, expected: string, got: string): TokError {
	return new TokError("runtime-cpu", `run: input ${name}: expected ${expected}, got ${got}.`);
}

function format(dtype: string, dims: readonly (number | string)[]): string {
	return `${dtype} [${dims.map((dim) => (dim === "" ? "?" : dim)).join(", ")}]`;
}
