/**
 * Reads an ONNX model into plain objects: inputs, outputs, nodes in order, constants. Constants are views of the file.
 * A file that was cut or altered gives an error, as far as structure shows it: the bytes must parse, names must
 * resolve in order, sizes must agree. Elements themselves carry no checksum.
 */
import { fromBinary } from "@bufbuild/protobuf";
import { getTextEncoding } from "@bufbuild/protobuf/wire";
import {
	type AttributeProto,
	AttributeProto_AttributeType as AttributeType,
	type GraphProto,
	ModelProtoSchema,
	type NodeProto,
	type ValueInfoProto,
} from "onnx-buf";
import { GraphError } from "./errors.ts";
import {
	Damage,
	type ElementType,
	elementType,
	length,
	readTensor,
	type TensorSummary,
} from "./read-tensor.ts";
import type { Dim } from "./types.ts";

export interface ValueSummary {
	readonly name: string;
	readonly dtype: ElementType;
	/** undefined where a dimension, or the rank, is not said. */
	readonly shape: readonly (Dim | undefined)[] | undefined;
}

/** As `Attribute` of the builder, with tensors and graphs as they were read. */
export type AttributeSummary =
	| number
	| bigint
	| string
	| readonly (number | bigint)[]
	| { readonly float: number }
	| { readonly floats: readonly number[] }
	| { readonly strings: readonly string[] }
	| { readonly tensor: TensorSummary }
	| { readonly graph: GraphBody };

export interface NodeSummary {
	readonly name: string;
	readonly op: string;
	/** "" for the operators of ONNX. */
	readonly domain: string;
	/** "" where an optional input or output is left out. */
	readonly inputs: readonly string[];
	readonly outputs: readonly string[];
	readonly attributes: Readonly<Record<string, AttributeSummary>>;
}

export interface GraphBody {
	readonly name: string;
	/** Fed when the graph runs; constants are not among them. */
	readonly inputs: readonly ValueSummary[];
	readonly outputs: readonly ValueSummary[];
	/** In the order in which they may run. */
	readonly nodes: readonly NodeSummary[];
	readonly initialisers: readonly TensorSummary[];
}

export interface GraphSummary extends GraphBody {
	readonly irVersion: number;
	readonly producer: string;
	/** Version of each operator domain; "" is ONNX. */
	readonly opsets: Readonly<Record<string, number>>;
}

/** Reads the bytes of an .onnx file. Throws a GraphError when they are not a whole, consistent model. */
export function readGraph(model: Uint8Array): GraphSummary {
	try {
		const proto = fromBinary(ModelProtoSchema, model);
		if (proto.graph === undefined) throw new Damage("a graph in the model, got none");
		if (proto.irVersion < 1n) throw new Damage(`the version of the format, got ${proto.irVersion}`);
		const opsets = proto.opsetImport.map(({ domain, version }) => [
			domainOf(domain),
			length(version, `the version of operators "${domain}"`),
		]);
		if (opsets.length === 0) throw new Damage("the versions of the operators, got none");
		return {
			irVersion: length(proto.irVersion, "the version of the format"),
			producer: proto.producerName,
			opsets: Object.fromEntries(opsets),
			...readBody(proto.graph, new Set()),
		};
	} catch (cause) {
		const advice = "The file is not ONNX, was cut or was altered: fetch or write it again";
		if (cause instanceof Damage) throw new GraphError(`readGraph: expected ${cause.message}. ${advice}`);
		const reason = cause instanceof Error ? cause.message : String(cause);
		throw new GraphError(
			`readGraph: expected an ONNX model, got ${model.byteLength} bytes that do not parse (${reason}). ${advice}`,
			{ cause },
		);
	}
}

function readBody(graph: GraphProto, outer: ReadonlySet<string>): GraphBody {
	const initialisers = graph.initializer.map((proto) => readTensor(proto, `constant ${proto.name}`));
	const constants = new Set(initialisers.map(({ name }) => name));
	const known = new Set(outer);
	const define = (name: string, where: string): void => {
		if (name === "" || known.has(name)) throw new Damage(`${where} to have a name of its own, got "${name}"`);
		known.add(name);
	};
	for (const name of constants) define(name, "a constant");
	if (constants.size !== initialisers.length)
		throw new Damage(`constants with names of their own in the graph "${graph.name}"`);
	for (const sparse of graph.sparseInitializer) define(sparse.values?.name ?? "", "a sparse constant");
	// Until IR version 4 constants were listed as inputs, too.
	const inputs = graph.input.filter(({ name }) => !known.has(name) || outer.has(name)).map(readValue);
	for (const { name } of inputs) define(name, "an input");
	const nodes = graph.node.map((proto, index) => {
		const where = `node ${proto.name || index} (${proto.opType})`;
		if (proto.opType === "") throw new Damage(`node ${proto.name || index} to have an operator, got none`);
		const missing = proto.input.find((name) => name !== "" && !known.has(name));
		if (missing !== undefined) throw new Damage(`${where} to read values from before it, got ${missing}`);
		const node = readNode(proto, known, where);
		for (const name of proto.output) if (name !== "") define(name, `an output of ${where}`);
		return node;
	});
	const outputs = graph.output.map(readValue);
	const missing = outputs.find(({ name }) => !known.has(name));
	if (missing !== undefined) throw new Damage(`output ${missing.name} to be computed, but no node does`);
	if (outputs.length === 0) throw new Damage(`an output in the graph "${graph.name}", got none`);
	return { name: graph.name, inputs, outputs, nodes, initialisers };
}

function readValue(proto: ValueInfoProto): ValueSummary {
	const type = proto.type?.value;
	if (type?.case !== "tensorType")
		throw new Damage(`${proto.name} to be a tensor, got ${type?.case ?? "no type"}`);
	const shape = type.value.shape?.dim.map(({ value }) => {
		if (value.case === "dimValue") return length(value.value, `a dimension of ${proto.name}`);
		return value.case === "dimParam" && value.value !== "" ? value.value : undefined;
	});
	return { name: proto.name, dtype: elementType(type.value.elemType, proto.name), shape };
}

function readNode(proto: NodeProto, known: ReadonlySet<string>, where: string): NodeSummary {
	const attributes = proto.attribute.map((attribute) => [
		attribute.name,
		readAttribute(attribute, known, `attribute ${attribute.name} of ${where}`),
	]);
	return {
		name: proto.name,
		op: proto.opType,
		domain: domainOf(proto.domain),
		inputs: proto.input,
		outputs: proto.output,
		attributes: Object.fromEntries(attributes),
	};
}

function readAttribute(proto: AttributeProto, known: ReadonlySet<string>, where: string): AttributeSummary {
	switch (proto.type) {
		case AttributeType.INT:
			return integer(proto.i);
		case AttributeType.INTS:
			return proto.ints.map(integer);
		case AttributeType.FLOAT:
			return { float: proto.f };
		case AttributeType.FLOATS:
			return { floats: proto.floats };
		case AttributeType.STRING:
			return text(proto.s);
		case AttributeType.STRINGS:
			return { strings: proto.strings.map(text) };
		case AttributeType.TENSOR:
			if (proto.t === undefined) throw new Damage(`a tensor in ${where}, got none`);
			return { tensor: readTensor(proto.t, where) };
		case AttributeType.GRAPH:
			if (proto.g === undefined) throw new Damage(`a graph in ${where}, got none`);
			return { graph: readBody(proto.g, known) };
		default:
			throw new Damage(`a number, text, tensor or graph in ${where}, got the attribute type ${proto.type}`);
	}
}

function integer(value: bigint): number | bigint {
	const number = Number(value);
	return Number.isSafeInteger(number) ? number : value;
}

function text(bytes: Uint8Array): string {
	return getTextEncoding().decodeUtf8(bytes);
}

function domainOf(domain: string): string {
	return domain === "ai.onnx" ? "" : domain;
}
