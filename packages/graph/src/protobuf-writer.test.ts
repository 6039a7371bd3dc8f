/** Against `@bufbuild/protobuf`, which reads what is written here and writes the same bytes. */
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { AttributeProtoSchema, type ModelProto, ModelProtoSchema } from "onnx-buf";
import { expect, test } from "vitest";
import { GraphBuilder } from "./index.ts";
import { ProtobufWriter } from "./protobuf-writer.ts";

const attributes = {
	int: -1,
	large: 2 ** 53 - 1,
	largest: 2n ** 63n - 1n,
	least: -(2n ** 63n),
	string: "grün 🐋",
	empty: "",
	float: { float: 1e-5 },
	floats: { floats: [1, -2.5, 3e38] },
	strings: { strings: ["", "two"] },
	tensor: { tensor: { dtype: "int64", dims: [2], data: BigInt64Array.of(1n, -1n) } },
	ints: [0, 127, 128, 16_384, 2 ** 32, 2 ** 40, -300],
	none: [],
} as const;

function model(): Uint8Array {
	const g = new GraphBuilder("every field");
	const x = g.input("x", "float32", ["batch", "slots+tokens", 4]);
	const scalar = g.input("scalar", "int64", []);
	const inline = g.constant("inline", { dtype: "float32", dims: [2, 1], data: Float32Array.of(1, 2) });
	const empty = g.constant("empty", { dtype: "bool", dims: [0], data: new Uint8Array(0) });
	const outside = g.constant("outside", { dtype: "float32", dims: [300], data: new Float32Array(300) });
	const [y] = g.node({
		op: "Everything",
		domain: "com.example",
		inputs: [x, undefined, scalar, inline, empty, outside],
		outputs: [
			{ dtype: "float16", shape: [300, "tokens"] },
			{ dtype: "uint8", shape: [] },
		],
		attributes,
	});
	if (y !== undefined) g.output(y, "y");
	return g.build().model;
}

test("a graph with every kind of field is the bytes that protobuf makes of it", () => {
	const written = model();
	const read = fromBinary(ModelProtoSchema, written);
	expect(Buffer.from(toBinary(ModelProtoSchema, read)).equals(written)).toBe(true);
	expect(attributesOf(read)).toEqual({
		int: -1n,
		large: 2n ** 53n - 1n,
		largest: 2n ** 63n - 1n,
		least: -(2n ** 63n),
		string: "grün 🐋",
		empty: "",
		float: Math.fround(1e-5),
		floats: [1, -2.5, Math.fround(3e38)],
		strings: ["", "two"],
		tensor: [2n],
		ints: [0n, 127n, 128n, 16_384n, 2n ** 32n, 2n ** 40n, -300n],
		none: [],
	});
});

function attributesOf({ graph }: ModelProto): Record<string, unknown> {
	const text = new TextDecoder();
	return Object.fromEntries(
		(graph?.node[0]?.attribute ?? []).map(({ name, type, i, s, f, floats, strings, t, ints }) => {
			const values = [undefined, f, i, text.decode(s), t?.dims, undefined, floats, ints];
			return [name, type === 8 ? strings.map((string) => text.decode(string)) : values[type]];
		}),
	);
}

test("an integer that does not fit in 64 bits is refused", () => {
	const g = new GraphBuilder("g");
	const x = g.input("x", "float32", [1]);
	const [y] = g.node({
		op: "Op",
		inputs: [x],
		outputs: [{ dtype: "float32", shape: [1] }],
		attributes: { axis: 2n ** 63n },
	});
	if (y !== undefined) g.output(y, "y");
	expect(() => g.build()).toThrow(
		"[tok/graph] Op: expected an integer in the attribute axis, got 9223372036854775808",
	);
});

test("what is longer than the memory that a writer begins with", () => {
	const name = "a".repeat(100_000);
	const writer = new ProtobufWriter();
	writer.text(1, name);
	expect(fromBinary(AttributeProtoSchema, writer.finish()).name).toBe(name);
});
