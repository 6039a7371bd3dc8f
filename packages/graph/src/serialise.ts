/**
 * Writes a graph as an ONNX ModelProto (onnx.proto, IR version 10). Constants from 1024 bytes on stay outside the
 * protobuf, one path for each array, so that weights are never copied; smaller ones go inline as raw little-endian bytes.
 *
 * The shape of every value is written down. Where it is not, onnxruntime gives symbolic dimensions names of its own, a new
 * one for each, and then looks in vain for buffers of one size when it plans which to use again: with 1.30 a decoder of
 * 1,450 nodes took 0.4 s longer to load.
 */
import { create, toBinary } from "@bufbuild/protobuf";
import { getTextEncoding } from "@bufbuild/protobuf/wire";
import {
	type AttributeProto,
	AttributeProtoSchema,
	AttributeProto_AttributeType as AttributeType,
	TensorProto_DataLocation as DataLocation,
	ModelProtoSchema,
	type TensorProto,
	TensorProtoSchema,
	type ValueInfoProto,
	ValueInfoProtoSchema,
} from "onnx-buf";
import type { NodeRecord } from "./builder.ts";
import { onnxCodes } from "./dtypes.ts";
import { GraphError } from "./errors.ts";
import type { Attribute, BuiltGraph, TensorData, Value } from "./types.ts";

export interface GraphRecord {
	readonly name: string;
	readonly opset: number;
	readonly irVersion: number;
	readonly inputs: readonly Value[];
	readonly outputs: readonly { readonly name: string; readonly value: Value }[];
	/** In topological order. */
	readonly nodes: readonly NodeRecord[];
	readonly constants: ReadonlyMap<string, TensorData>;
}

/** Bytes from which a constant is external data: what onnxruntime itself keeps out of the protobuf at its default. */
const externalFrom = 1024;

export function serialise(graph: GraphRecord): BuiltGraph {
	const renamed = new Map(graph.outputs.map(({ name, value }) => [value.name, name]));
	const nameOf = (name: string): string => renamed.get(name) ?? name;
	const weights: BuiltGraph["weights"] = [];
	const initializer: TensorProto[] = [];
	const paths = new Map<TensorData["data"], string>();
	for (const [name, tensor] of graph.constants) {
		const bytes = bytesOf(tensor);
		if (bytes.byteLength < externalFrom) {
			initializer.push(tensorProto(tensor, name));
			continue;
		}
		const path = paths.get(tensor.data) ?? `weights/${name}`;
		if (!paths.has(tensor.data)) weights.push({ path, data: bytes });
		paths.set(tensor.data, path);
		initializer.push(
			create(TensorProtoSchema, {
				name,
				dims: tensor.dims.map(BigInt),
				dataType: onnxCodes[tensor.dtype],
				dataLocation: DataLocation.EXTERNAL,
				externalData: [
					{ key: "location", value: path },
					{ key: "offset", value: "0" },
					{ key: "length", value: String(bytes.byteLength) },
				],
			}),
		);
	}
	const domains = new Set(graph.nodes.map((node) => node.domain).filter((domain) => domain !== ""));
	const model = create(ModelProtoSchema, {
		irVersion: BigInt(graph.irVersion),
		producerName: "tok",
		opsetImport: [
			{ domain: "", version: BigInt(graph.opset) },
			...[...domains].map((domain) => ({ domain, version: 1n })),
		],
		graph: {
			name: graph.name,
			input: graph.inputs.map((value) => valueInfo(value.name, value)),
			output: graph.outputs.map(({ name, value }) => valueInfo(name, value)),
			initializer,
			valueInfo: graph.nodes.flatMap(({ values }) =>
				values.filter(({ name }) => !renamed.has(name)).map((value) => valueInfo(value.name, value)),
			),
			node: graph.nodes.map((node) => ({
				name: node.name,
				opType: node.op,
				domain: node.domain,
				input: node.inputs.map(nameOf),
				output: node.outputs.map(nameOf),
				attribute: Object.entries(node.attributes).map(([name, value]) =>
					attributeProto(node.name, name, value),
				),
			})),
		},
	});
	return { model: toBinary(ModelProtoSchema, model), weights };
}

function valueInfo(name: string, { dtype, shape }: Value): ValueInfoProto {
	return create(ValueInfoProtoSchema, {
		name,
		type: {
			value: {
				case: "tensorType",
				value: {
					elemType: onnxCodes[dtype],
					shape: {
						dim: shape.map((dim) => ({
							value:
								typeof dim === "number"
									? { case: "dimValue" as const, value: BigInt(dim) }
									: { case: "dimParam" as const, value: dim },
						})),
					},
				},
			},
		},
	});
}

function tensorProto(tensor: TensorData, name = ""): TensorProto {
	return create(TensorProtoSchema, {
		name,
		dims: tensor.dims.map(BigInt),
		dataType: onnxCodes[tensor.dtype],
		rawData: bytesOf(tensor),
	});
}

/** The array's own memory. ONNX is little-endian, and so is every platform that runs JavaScript engines of today. */
function bytesOf({ data }: TensorData): Uint8Array<ArrayBuffer> {
	return new Uint8Array(data.buffer as ArrayBuffer, data.byteOffset, data.byteLength);
}

function attributeProto(node: string, name: string, value: Attribute): AttributeProto {
	const text = getTextEncoding();
	const int = (number: number | bigint): bigint => {
		if (typeof number === "bigint" || Number.isSafeInteger(number)) return BigInt(number);
		throw new GraphError(
			`${node}: expected an integer in the attribute ${name}, got ${number}. Write floats as { float: x }`,
		);
	};
	if (typeof value === "number" || typeof value === "bigint") {
		return create(AttributeProtoSchema, {
			name,
			type: AttributeType.INT,
			i: int(value),
		});
	}
	if (typeof value === "string") {
		return create(AttributeProtoSchema, {
			name,
			type: AttributeType.STRING,
			s: text.encodeUtf8(value),
		});
	}
	if ("float" in value)
		return create(AttributeProtoSchema, {
			name,
			type: AttributeType.FLOAT,
			f: value.float,
		});
	if ("floats" in value) {
		return create(AttributeProtoSchema, {
			name,
			type: AttributeType.FLOATS,
			floats: [...value.floats],
		});
	}
	if ("strings" in value) {
		const strings = value.strings.map((string) => text.encodeUtf8(string));
		return create(AttributeProtoSchema, {
			name,
			type: AttributeType.STRINGS,
			strings,
		});
	}
	if ("tensor" in value) {
		return create(AttributeProtoSchema, {
			name,
			type: AttributeType.TENSOR,
			t: tensorProto(value.tensor),
		});
	}
	return create(AttributeProtoSchema, {
		name,
		type: AttributeType.INTS,
		ints: value.map(int),
	});
}
