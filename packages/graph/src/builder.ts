/**
 * Builds an ONNX graph node by node. Every value knows its dtype and its shape, so a mistake is an error where it is
 * made, and names the node with its scope. `build` leaves out what no output needs and serialises the rest.
 */

import { formatShape, normaliseDim, termsOf } from "./dimension.ts";
import { arrayName, holds, isDType, toTypedArray } from "./dtypes.ts";
import { GraphError } from "./errors.ts";
import { inHalfPrecision } from "./half.ts";
import { serialise } from "./serialise.ts";
import type { Attribute, BuiltGraph, Dim, DType, NodeSpec, Shape, TensorData, Value } from "./types.ts";

export interface GraphOptions {
	/** Version of the ONNX operators, 18–26. Defaults to 21. */
	readonly opset?: number;
	/** Version of the file format. Defaults to 10. */
	readonly irVersion?: number;
}

export interface BuildOptions {
	/**
	 * Has float32 nodes compute in float16, between inputs and outputs that stay as they are declared. A Cast of
	 * float16 to float32 then costs nothing. `except` names nodes that stay float32. Defaults to none of it.
	 */
	readonly half?: { readonly except?: (node: string) => boolean } | undefined;
}

/** A node with its final names. "" stands for an input or output that is left out. */
export interface NodeRecord {
	readonly name: string;
	readonly op: string;
	readonly domain: string;
	readonly inputs: readonly string[];
	readonly outputs: readonly string[];
	readonly attributes: Readonly<Record<string, Attribute>>;
	/** The outputs that are not left out, with their shapes. */
	readonly values: readonly Value[];
}

export class GraphBuilder {
	readonly name: string;
	readonly opset: number;
	readonly irVersion: number;
	readonly #inputs: Value[] = [];
	readonly #outputs: { readonly name: string; readonly value: Value }[] = [];
	readonly #constants = new Map<string, TensorData>();
	/** Constants the caller named: one that nothing reads is a mistake. */
	readonly #named = new Set<string>();
	readonly #literals = new Map<string, Value>();
	readonly #dimensions = new Map<string, Value<"int64">>();
	readonly #nodes: NodeRecord[] = [];
	readonly #valueNames = new Set<string>();
	readonly #nodeNames = new Set<string>();
	/** How often a name was asked for, so that the next free number is found at once. */
	readonly #counts = new Map<string, number>();
	readonly #scopes: string[] = [];

	constructor(name: string, { opset = 21, irVersion = 10 }: GraphOptions = {}) {
		if (!Number.isInteger(opset) || opset < 18 || opset > 26) {
			throw new GraphError(`${name}: expected an opset from 18 to 26, got ${opset}`);
		}
		this.name = name;
		this.opset = opset;
		this.irVersion = irVersion;
	}

	/** A tensor fed when the graph runs. Its name is used as given, whatever the scope. */
	input<D extends DType>(name: string, dtype: D, shape: Shape): Value<D> {
		if (!isDType(dtype))
			throw new GraphError(`input ${name}: expected a dtype, got ${JSON.stringify(dtype)}`);
		this.#claim(this.#valueNames, name, "input");
		const value = this.#value(name, dtype, shape);
		this.#inputs.push(value);
		return value;
	}

	/**
	 * A tensor that is part of the graph. The array is kept, not copied: `build` reads it. Named within the scope.
	 * From 1024 bytes on it becomes external data with the path `weights/<name>`.
	 */
	constant<D extends DType>(name: string, tensor: TensorData<D>): Value<D> {
		const full = this.#path(name);
		checkTensor(`constant ${full}`, tensor);
		this.#claim(this.#valueNames, full, "constant");
		this.#constants.set(full, tensor);
		this.#named.add(full);
		return this.#value(full, tensor.dtype, tensor.dims);
	}

	/**
	 * A constant once more, under another shape: the bytes are the same, in memory and in the file. A Reshape node would
	 * have the backend make a copy of them. Undefined for a value that is no constant.
	 */
	reshapedConstant<D extends DType>(value: Value<D>, dims: readonly number[]): Value<D> | undefined {
		const tensor = this.#constants.get(value.name) as TensorData<D> | undefined;
		if (tensor === undefined) return undefined;
		const name = `${value.name}[${dims.join(",")}]`;
		const reshaped = { ...tensor, dims };
		checkTensor(`constant ${name}`, reshaped);
		if (!this.#constants.has(name)) {
			this.#claim(this.#valueNames, name, "constant");
			this.#constants.set(name, reshaped);
			this.#named.delete(value.name);
		}
		return this.#value(name, tensor.dtype, dims);
	}

	/** A constant of shape [] – equal ones are one initialiser. */
	scalar<D extends DType>(dtype: D, value: number): Value<D> {
		return this.#literal(dtype, [value], []);
	}

	/** A float32 of shape []. */
	float(value: number): Value<"float32"> {
		return this.scalar("float32", value);
	}

	/** An int64 list of shape [values.length], as axes and shapes are given to ONNX. */
	ints(values: readonly number[]): Value<"int64"> {
		return this.#literal("int64", values, [values.length]);
	}

	/**
	 * Makes a value an output of the graph. Outputs keep the order of these calls.
	 * `name` defaults to the value's own and is used as given, whatever the scope.
	 */
	output(value: Value, name: string = value.name): void {
		this.#own(value, `output ${name}`);
		if (this.#outputs.some((output) => output.name === name)) {
			throw new GraphError(`output ${name}: expected a name of its own, got one that is already an output`);
		}
		const produced =
			!this.#constants.has(value.name) && !this.#inputs.some((input) => input.name === value.name);
		const taken = this.#outputs.some((output) => output.value.name === value.name);
		if (produced && !taken) {
			if (name !== value.name) this.#claim(this.#valueNames, name, "output");
			this.#outputs.push({ name, value });
			return;
		}
		if (name === value.name) {
			throw new GraphError(
				`output ${name}: expected a name for an input or constant that becomes an output, got its own. Pass another name`,
			);
		}
		// A value has one name in ONNX: a second output, or an input passed through, needs a node.
		const [copy] = this.node({
			op: "Identity",
			inputs: [value],
			outputs: [value],
		});
		if (copy !== undefined) this.output(copy, name);
	}

	/**
	 * A dimension as an int64 of shape [1] that the running graph computes, for operators that take lengths as tensors.
	 * A symbol is read from an input that has it as a dimension; throws when none has.
	 */
	dimension(dim: Dim): Value<"int64"> {
		const key = normaliseDim(dim);
		if (typeof key === "number") return this.ints([key]);
		const known = this.#dimensions.get(key);
		if (known !== undefined) return known;
		const where = this.#path(`dimension ${key}`);
		// Computed once for all scopes, so it belongs to none.
		const scopes = this.#scopes.splice(0);
		try {
			const value = this.scope("dimensions", () => this.#compute(key, where));
			this.#dimensions.set(key, value);
			return value;
		} finally {
			this.#scopes.push(...scopes);
		}
	}

	/** Runs `body` with `name` before the names of its nodes and constants: "layers.3/attention/MatMul". */
	scope<T>(name: string, body: () => T): T {
		this.#scopes.push(name);
		try {
			return body();
		} finally {
			this.#scopes.pop();
		}
	}

	/** Appends a node as it is, trusting the dtypes and shapes of its outputs. Returns the outputs not left out. */
	node({ op, domain = "", inputs, attributes = {}, outputs, name }: NodeSpec): Value[] {
		const full = name === undefined ? this.#nextName(op) : this.#path(name);
		this.#counts.set(this.#path(name ?? op), (this.#counts.get(this.#path(name ?? op)) ?? 0) + 1);
		this.#claim(this.#nodeNames, full, "node");
		for (const input of inputs) if (input !== undefined) this.#own(input, full);
		const values: Value[] = [];
		const outputNames = outputs.map((output, index) => {
			if (output === undefined) return "";
			const valueName = outputs.length === 1 ? full : `${full}:${index}`;
			this.#claim(this.#valueNames, valueName, "value");
			values.push(this.#value(valueName, output.dtype, output.shape));
			return valueName;
		});
		const inputNames = inputs.map((input) => input?.name ?? "");
		while (inputNames.at(-1) === "") inputNames.pop();
		while (outputNames.at(-1) === "") outputNames.pop();
		this.#nodes.push({
			name: full,
			op,
			domain,
			inputs: inputNames,
			outputs: outputNames,
			attributes,
			values,
		});
		return values;
	}

	/** The error for a node of `op` that would come next: its name with the scope, then `message`. To be thrown. */
	error(op: string, message: string): GraphError {
		return new GraphError(`${this.#nextName(op)}: ${message}`);
	}

	/**
	 * Serialises the graph: what no output needs is left out, except inputs. Weights are views of the callers' arrays,
	 * but for those that half precision rounds.
	 * Throws when there is no output, or when nothing reads an input or a named constant.
	 */
	build({ half }: BuildOptions = {}): BuiltGraph {
		if (this.#outputs.length === 0)
			throw new GraphError(`${this.name}: expected at least one output, got none. Call output(value)`);
		const read = new Set(this.#nodes.flatMap((node) => node.inputs));
		const unread = [...this.#inputs.map((input) => input.name), ...this.#named].filter(
			(name) => !read.has(name),
		);
		if (unread.length > 0) {
			throw new GraphError(
				`${this.name}: expected every input and constant to be read by a node, but none reads ${unread.join(", ")}. Use them or leave them out`,
			);
		}
		const needed = new Set(this.#outputs.map(({ value }) => value.name));
		const nodes: NodeRecord[] = [];
		// Nodes are in topological order, because a value exists only after its node.
		for (const node of this.#nodes.toReversed()) {
			if (!node.outputs.some((name) => needed.has(name))) continue;
			nodes.push(node);
			for (const name of node.inputs) needed.add(name);
		}
		const record = {
			name: this.name,
			opset: this.opset,
			irVersion: this.irVersion,
			inputs: this.#inputs,
			outputs: this.#outputs,
			nodes: nodes.reverse(),
			constants: new Map([...this.#constants].filter(([name]) => needed.has(name))),
		};
		return serialise(half === undefined ? record : inHalfPrecision(record, half.except ?? (() => false)));
	}

	#literal<D extends DType>(dtype: D, numbers: readonly number[], dims: readonly number[]): Value<D> {
		const name = `constants/${dtype}/${dims.length === 0 ? "" : "["}${numbers.map((n) => (Object.is(n, -0) ? "-0" : n)).join(",")}${dims.length === 0 ? "" : "]"}`;
		const known = this.#literals.get(name);
		if (known !== undefined) return known as Value<D>;
		this.#claim(this.#valueNames, name, "constant");
		this.#constants.set(name, {
			dtype,
			dims,
			data: toTypedArray(dtype, numbers),
		});
		const value = this.#value(name, dtype, dims);
		this.#literals.set(name, value);
		return value;
	}

	#compute(dim: string, where: string): Value<"int64"> {
		const emit = (op: string, inputs: Value[], attributes: Record<string, number> = {}): Value<"int64"> => {
			const [value] = this.node({ op, inputs, attributes, outputs: [{ dtype: "int64", shape: [1] }] });
			return value as Value<"int64">;
		};
		// The WebGPU provider leaves a Shape of integers to the processor, where they would have to be copied.
		const isFloat = ({ dtype }: Value): boolean => dtype === "float32" || dtype === "float16";
		const inputs = [...this.#inputs.filter(isFloat), ...this.#inputs.filter((input) => !isFloat(input))];
		for (const input of inputs) {
			const axis = input.shape.indexOf(dim);
			if (axis >= 0) return emit("Shape", [input], { start: axis, end: axis + 1 });
		}
		const terms = termsOf(dim).map(({ coefficient, symbols }) => {
			if (symbols[0] === dim) {
				throw new GraphError(
					`${where}: expected an input of the graph to have it, got ${this.#inputs.map((input) => `${input.name} ${formatShape(input.shape)}`).join(", ") || "no inputs"}. Add one, or use a symbol of theirs`,
				);
			}
			const factors = symbols.map((symbol) => this.dimension(symbol));
			if (coefficient !== 1 || factors.length === 0) factors.push(this.ints([coefficient]));
			return factors.reduce((a, b) => emit("Mul", [a, b]));
		});
		return terms.reduce((a, b) => emit("Add", [a, b]));
	}

	#value<D extends DType>(name: string, dtype: D, shape: Shape): Value<D> {
		return { graph: this, name, dtype, shape: shape.map(normaliseDim) };
	}

	#path(name: string): string {
		return [...this.#scopes, name].join("/");
	}

	#nextName(op: string): string {
		const path = this.#path(op);
		let count = this.#counts.get(path) ?? 0;
		let name = count === 0 ? path : `${path}_${count}`;
		while (this.#nodeNames.has(name) || this.#valueNames.has(name)) name = `${path}_${++count}`;
		return name;
	}

	#claim(names: Set<string>, name: string, kind: string): void {
		if (name === "") throw new GraphError(`expected a name for the ${kind}, got an empty one`);
		if (names.has(name))
			throw new GraphError(
				`${kind} ${name}: expected a name of its own, got one that is already in use. Rename it or open a scope`,
			);
		names.add(name);
	}

	#own(value: Value, where: string): void {
		if (value.graph !== this) {
			throw new GraphError(
				`${where}: expected a value of the graph "${this.name}", got ${value.name} ${formatShape(value.shape)} of "${value.graph?.name}"`,
			);
		}
	}
}

function checkTensor(where: string, { dtype, dims, data }: TensorData): void {
	if (!isDType(dtype)) throw new GraphError(`${where}: expected a dtype, got ${JSON.stringify(dtype)}`);
	if (!holds(dtype, data))
		throw new GraphError(
			`${where}: expected ${dtype} data in a ${arrayName(dtype)}, got ${Object.prototype.toString.call(data)}`,
		);
	if (!dims.every((dim) => Number.isSafeInteger(dim) && dim >= 0)) {
		throw new GraphError(`${where}: expected dimensions that are integers ≥ 0, got ${formatShape(dims)}`);
	}
	const length = dims.reduce((product, dim) => product * dim, 1);
	if (data.length !== length) {
		throw new GraphError(
			`${where}: expected ${length} elements for ${formatShape(dims)}, got ${data.length}`,
		);
	}
}
