/**
 * A graph in half precision: its float32 nodes compute in float16. Inputs and outputs stay as they were declared, so that
 * whoever runs the graph notices no difference but in the last digits.
 *
 * What float16 cannot hold becomes the nearest number that it can: beyond ±65,504 those, and what would vanish, as a
 * constant that keeps a division from one by 0 would, its smallest.
 */
import type { NodeRecord } from "./builder.ts";
import { float16Bits, onnxCodes } from "./dtypes.ts";
import type { GraphRecord } from "./serialise.ts";
import type { Attribute, TensorData, Value } from "./types.ts";

/** The largest float16, and the smallest above 0 (IEEE 754 binary16). */
const LARGEST = 65504;
const SMALLEST = 2 ** -24;

/** Rewrites a graph. Nodes for whose names `stays` is true keep float32. */
export function inHalfPrecision(graph: GraphRecord, stays: (node: string) => boolean): GraphRecord {
	return new HalfPrecision(graph, stays).rewritten();
}

class HalfPrecision {
	readonly #graph: GraphRecord;
	readonly #stays: (node: string) => boolean;
	readonly #nodes: NodeRecord[] = [];
	readonly #constants = new Map<string, TensorData>();
	/** Values of the original graph that are float32 there. */
	readonly #floats = new Map<string, Value>();
	/** Of those, the ones that come in float16 now, with the name under which they do. */
	readonly #halves = new Map<string, string>();
	/** Names of all that is float16 now. */
	readonly #isHalf = new Set<string>();
	/** Names of what casts have made. */
	readonly #casts = new Set<string>();
	/** Constants may share their numbers. */
	readonly #rounded = new Map<TensorData["data"], Uint16Array>();

	constructor(graph: GraphRecord, stays: (node: string) => boolean) {
		this.#graph = graph;
		this.#stays = stays;
		for (const value of [...graph.inputs, ...graph.nodes.flatMap(({ values }) => values)])
			if (value.dtype === "float32") this.#floats.set(value.name, value);
			else if (value.dtype === "float16") this.#isHalf.add(value.name);
	}

	rewritten(): GraphRecord {
		for (const node of this.#graph.nodes) {
			if (this.#stays(node.name))
				this.#nodes.push({ ...node, inputs: node.inputs.map((name) => this.#full(name)) });
			else this.#halve(node);
		}
		const outputs = this.#graph.outputs.map(({ name, value }) =>
			this.#halves.has(value.name)
				? { name, value: { ...value, name: this.#full(value.name) } }
				: { name, value },
		);
		return { ...this.#graph, outputs, nodes: this.#nodes, constants: this.#constants };
	}

	#halve(node: NodeRecord): void {
		const inputs = node.inputs.map((name) => this.#half(name));
		const castsToFloat = node.op === "Cast" && node.attributes.to === onnxCodes.float32;
		const [from = ""] = inputs;
		// What would be cast is float16, as it should be.
		if (castsToFloat && this.#isHalf.has(from)) {
			this.#halves.set(node.outputs[0] as string, from);
			return;
		}
		const values = node.values.map((value): Value => {
			if (value.dtype !== "float32") return value;
			this.#halves.set(value.name, value.name);
			this.#isHalf.add(value.name);
			return { ...value, dtype: "float16" };
		});
		const attributes = Object.fromEntries(
			Object.entries(node.attributes).map(([name, attribute]) => [name, this.#attribute(attribute)]),
		);
		if (castsToFloat) attributes.to = onnxCodes.float16;
		this.#nodes.push({ ...node, inputs, values, attributes });
	}

	/** The name under which a value of the original graph is there in float16, if it was float32. */
	#half(name: string): string {
		const known = this.#halves.get(name);
		if (known !== undefined) return known;
		const constant = this.#graph.constants.get(name);
		if (constant !== undefined) return this.#constant(name, constant);
		const value = this.#floats.get(name);
		return value === undefined ? name : this.#cast(value, name, "float16");
	}

	/** The name under which it is there as it was. */
	#full(name: string): string {
		const half = this.#halves.get(name);
		const value = this.#floats.get(name);
		if (half !== undefined && value !== undefined) return this.#cast(value, half, "float32");
		const constant = this.#graph.constants.get(name);
		if (constant !== undefined) this.#constants.set(name, constant);
		return name;
	}

	#cast(value: Value, from: string, dtype: "float16" | "float32"): string {
		const name = `${value.name}:${dtype}`;
		if (!this.#casts.has(name)) {
			this.#casts.add(name);
			this.#nodes.push({
				name: `${name}/Cast`,
				op: "Cast",
				domain: "",
				inputs: [from],
				outputs: [name],
				attributes: { to: onnxCodes[dtype] },
				values: [{ ...value, name, dtype }],
			});
		}
		return name;
	}

	#constant(name: string, tensor: TensorData): string {
		if (tensor.dtype !== "float32") {
			this.#constants.set(name, tensor);
			return name;
		}
		const half = `${name}:float16`;
		if (!this.#constants.has(half)) this.#constants.set(half, this.#round(tensor));
		return half;
	}

	#round(tensor: TensorData): TensorData {
		let data = this.#rounded.get(tensor.data);
		if (data === undefined) {
			data = Uint16Array.from(tensor.data as Float32Array, nearestBits);
			this.#rounded.set(tensor.data, data);
		}
		return { ...tensor, dtype: "float16", data };
	}

	#attribute(attribute: Attribute): Attribute {
		const isTensor = typeof attribute === "object" && "tensor" in attribute;
		if (!isTensor || attribute.tensor.dtype !== "float32") return attribute;
		return { tensor: this.#round(attribute.tensor) };
	}
}

function nearestBits(x: number): number {
	if (x === 0 || Number.isNaN(x)) return float16Bits(x);
	const magnitude = Math.min(Math.max(Math.abs(x), SMALLEST), LARGEST);
	return float16Bits(x < 0 ? -magnitude : magnitude);
}
