/** Reading back what was built and what others write, and refusing what is damaged. */
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { type ModelProto, ModelProtoSchema } from "onnx-buf";
import { expect, test } from "vitest";
import {
	add,
	concat,
	GraphBuilder,
	GraphError,
	matMul,
	readGraph,
	simplifiedLayerNormalization,
	softmax,
	split,
} from "./index.ts";
import { seeded } from "./testing/random.ts";

function sample(): Uint8Array {
	const g = new GraphBuilder("sample");
	const x = g.input("x", "float32", ["batch", "tokens", 4]);
	const scale = g.constant("scale", { dtype: "float32", dims: [4], data: Float32Array.of(1, 2, 3, 4) });
	const w = g.constant("w", { dtype: "float32", dims: [4, 80], data: new Float32Array(320) });
	const h = matMul(simplifiedLayerNormalization(x, scale, { epsilon: 1e-5 }), w);
	const parts = split(h, [30, 50], 2);
	g.output(softmax(add(concat(parts.toReversed(), 2), 1.5)), "y");
	return g.build().model;
}

/** The sample after a change to its protobuf. */
function changed(change: (model: ModelProto) => void): Uint8Array {
	const model = fromBinary(ModelProtoSchema, sample());
	change(model);
	return toBinary(ModelProtoSchema, model);
}

test("a graph reads back as it was built", () => {
	const model = sample();
	const { inputs, outputs, nodes, initialisers, opsets, irVersion, producer, name } = readGraph(model);
	expect({ irVersion, producer, name, opsets }).toEqual({
		irVersion: 10,
		producer: "tok",
		name: "sample",
		opsets: { "": 21 },
	});
	expect(inputs).toEqual([{ name: "x", dtype: "float32", shape: ["batch", "tokens", 4] }]);
	expect(outputs).toEqual([{ name: "y", dtype: "float32", shape: ["batch", "tokens", 80] }]);
	expect(nodes.map(({ op }) => op)).toEqual([
		"SimplifiedLayerNormalization",
		"MatMul",
		"Split",
		"Concat",
		"Add",
		"Softmax",
	]);
	expect(nodes[0]).toEqual({
		name: "SimplifiedLayerNormalization",
		op: "SimplifiedLayerNormalization",
		domain: "",
		inputs: ["x", "scale"],
		outputs: ["SimplifiedLayerNormalization"],
		attributes: { axis: 2, epsilon: { float: Math.fround(1e-5) } },
	});
	expect(nodes[2]?.outputs).toEqual(["Split:0", "Split:1"]);
	expect(nodes.at(-1)?.outputs).toEqual(["y"]);
	expect(initialisers.map(({ name, dims, contents }) => [name, dims, contents.kind])).toEqual([
		["scale", [4], "inline"],
		["w", [4, 80], "external"],
		["constants/int64/[30,50]", [2], "inline"],
		["constants/float32/1.5", [], "inline"],
	]);
	const [scale] = initialisers;
	if (scale?.contents.kind !== "inline") throw new Error("scale is inline");
	expect(scale.contents.bytes.buffer).toBe(model.buffer);
	expect([...new Float32Array(scale.contents.bytes.slice().buffer)]).toEqual([1, 2, 3, 4]);
});

test("every kind of attribute comes back", () => {
	const g = new GraphBuilder("g");
	const attributes = {
		a: 3,
		b: -(2n ** 60n),
		c: "text é",
		d: [1, -2],
		e: { float: 0.5 },
		f: { floats: [0.5, -1] },
		g: { strings: ["a", ""] },
	};
	const tensor = { dtype: "int32", dims: [2], data: Int32Array.of(1, 256) } as const;
	const [y] = g.node({
		op: "Anything",
		domain: "com.example",
		inputs: [],
		attributes: { ...attributes, h: { tensor } },
		outputs: [{ dtype: "bool", shape: [] }],
	});
	if (y === undefined) throw new Error("one output");
	g.output(y, "y");
	const { nodes, opsets } = readGraph(g.build().model);
	expect(nodes[0]?.attributes).toEqual({
		...attributes,
		h: {
			tensor: {
				name: "",
				dtype: "int32",
				dims: [2],
				contents: { kind: "inline", bytes: Uint8Array.of(1, 0, 0, 0, 0, 1, 0, 0) },
			},
		},
	});
	expect(opsets).toEqual({ "": 21, "com.example": 1 });
});

test("constants in the fields that raw data replaced come as bytes", () => {
	const tensors = [
		[{ dataType: 1, floatData: [1.5] }, "float32", [0, 0, 0xc0, 0x3f]],
		[{ dataType: 10, int32Data: [0x3e00] }, "float16", [0, 0x3e]],
		[{ dataType: 3, int32Data: [-2] }, "int8", [0xfe]],
		[{ dataType: 7, int64Data: [-1n] }, "int64", [255, 255, 255, 255, 255, 255, 255, 255]],
		[{ dataType: 11, doubleData: [1] }, "float64", [0, 0, 0, 0, 0, 0, 0xf0, 0x3f]],
		[{ dataType: 12, uint64Data: [7n] }, "uint32", [7, 0, 0, 0]],
		[{ dataType: 22, int32Data: [0x0f] }, "int4", [0x0f]],
	] as const;
	const model = create(ModelProtoSchema, {
		irVersion: 8n,
		opsetImport: [{ domain: "ai.onnx", version: 17n }],
		graph: {
			initializer: tensors.map(([tensor], i) => ({
				name: `t${i}`,
				dims: [1n],
				dataType: tensor.dataType,
				...(structuredClone(tensor) as object),
			})),
			output: [{ name: "t0", type: { value: { case: "tensorType", value: { elemType: 1 } } } }],
		},
	});
	const { initialisers, opsets, outputs } = readGraph(toBinary(ModelProtoSchema, model));
	expect(
		initialisers.map(({ dtype, contents }) => [dtype, contents.kind === "inline" ? [...contents.bytes] : []]),
	).toEqual(tensors.map(([, dtype, bytes]) => [dtype, bytes]));
	expect(opsets).toEqual({ "": 17 });
	expect(outputs[0]?.shape).toBeUndefined();
});

test("graphs inside attributes see the values around them", () => {
	const output = (name: string) => ({
		name,
		type: { value: { case: "tensorType" as const, value: { elemType: 1 } } },
	});
	const model = create(ModelProtoSchema, {
		irVersion: 8n,
		opsetImport: [{ version: 17n }],
		graph: {
			input: [output("c"), output("x")],
			node: [
				{
					opType: "If",
					input: ["c"],
					output: ["y"],
					attribute: [
						{
							name: "then_branch",
							type: 5,
							g: { node: [{ opType: "Neg", input: ["x"], output: ["inner"] }], output: [output("inner")] },
						},
					],
				},
			],
			output: [output("y")],
		},
	});
	const [node] = readGraph(toBinary(ModelProtoSchema, model)).nodes;
	expect(node?.attributes.then_branch).toMatchObject({ graph: { nodes: [{ op: "Neg", inputs: ["x"] }] } });
});

test.each<[string, Uint8Array, RegExp]>([
	["nothing", new Uint8Array(), /expected a graph in the model, got none/],
	["text", new TextEncoder().encode('{"model": "not onnx"}'), /expected/],
	[
		"no opset",
		changed((m) => {
			m.opsetImport = [];
		}),
		/expected the versions of the operators, got none/,
	],
	[
		"no format version",
		changed((m) => {
			m.irVersion = 0n;
		}),
		/expected the version of the format, got 0/,
	],
	[
		"a node without its input",
		changed((m) => {
			m.graph?.node.splice(1, 1);
		}),
		/expected node Split \(Split\) to read values from before it, got MatMul/,
	],
	[
		"nodes out of order",
		changed((m) => {
			m.graph?.node.reverse();
		}),
		/expected node Softmax \(Softmax\) to read values from before it, got Add/,
	],
	[
		"a name twice",
		changed((m) => {
			const node = m.graph?.node[0];
			if (node) m.graph?.node.push(node);
		}),
		/to have a name of its own, got "SimplifiedLayerNormalization"/,
	],
	[
		"an output that is not computed",
		changed((m) => {
			m.graph?.node.pop();
		}),
		/expected output y to be computed, but no node does/,
	],
	[
		"no outputs",
		changed((m) => {
			if (m.graph) m.graph.output = [];
		}),
		/expected an output in the graph "sample", got none/,
	],
	[
		"too few bytes",
		changed((m) => {
			const t = m.graph?.initializer[0];
			if (t) t.rawData = t.rawData.slice(1);
		}),
		/expected constant scale float32 \[4\] to have 16 bytes, got 15/,
	],
	[
		"an unknown element type",
		changed((m) => {
			const t = m.graph?.initializer[0];
			if (t) t.dataType = 99;
		}),
		/expected constant scale to have an element type, got the code 99/,
	],
	[
		"negative dimensions",
		changed((m) => {
			const t = m.graph?.initializer[0];
			if (t) t.dims = [-4n];
		}),
		/expected a dimension of constant scale to be an integer ≥ 0 .* got -4/,
	],
	[
		"external data of another length",
		changed((m) => {
			const entry = m.graph?.initializer[1]?.externalData[2];
			if (entry) entry.value = "9";
		}),
		/expected constant w to have 1280 bytes, got 9 outside/,
	],
	[
		"external data nowhere",
		changed((m) => {
			const t = m.graph?.initializer[1];
			if (t) t.externalData = [];
		}),
		/expected constant w to say where its external data lies/,
	],
])("%s is refused", (_, bytes, message) => {
	expect(() => readGraph(bytes)).toThrow(message);
	expect(() => readGraph(bytes)).toThrow(/^\[tok\/graph\] readGraph: .*fetch or write it again$/s);
});

test("every cut is refused", () => {
	const model = sample();
	for (let end = 0; end < model.length; end++) {
		expect(() => readGraph(model.subarray(0, end)), `cut at ${end}`).toThrow(GraphError);
	}
});

test("10,000 mutations either read as a graph or give the package's error", () => {
	const model = sample();
	const random = seeded(20);
	const below = (n: number): number => Math.floor(random() * n);
	let refused = 0;
	for (let round = 0; round < 10_000; round++) {
		let bytes = [...model];
		for (let edits = 1 + below(4); edits > 0; edits--) {
			const at = below(bytes.length);
			const kind = below(4);
			if (kind === 0) bytes[at] = below(256);
			else if (kind === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << below(8));
			else if (kind === 2) bytes.splice(at, 1 + below(8));
			else bytes = [...bytes.slice(0, at), ...bytes.slice(below(bytes.length))];
			if (bytes.length === 0) break;
		}
		try {
			expect(readGraph(Uint8Array.from(bytes)).outputs.length).toBeGreaterThan(0);
		} catch (error) {
			if (!GraphError.isInstance(error)) throw error;
			refused++;
		}
	}
	expect(refused).toBeGreaterThan(8000);
});
