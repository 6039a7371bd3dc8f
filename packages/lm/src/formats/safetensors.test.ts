import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { TokError } from "@tok/runtime";
import { afterAll, describe, expect, test } from "vitest";
import { openTensorFile } from "../testing/open-tensor-file.ts";
import { type ByteSource, memorySource } from "./byte-source.ts";
import { diskFolder } from "./file-source.ts";
import { repeatedKey } from "./json-header.ts";
import { openSafetensors, readSafetensors } from "./safetensors.ts";
import { encodeSafetensors, type SafetensorsContent } from "./safetensors-writer.ts";
import type { TensorContent } from "./tensor-content.ts";

const folder = mkdtempSync(join(tmpdir(), "tok-safetensors-"));
afterAll(() => rmSync(folder, { recursive: true }));
const golden = fileURLToPath(new URL("../../../../goldens/lm-tiny/llama/", import.meta.url));

function floats(name: string, ...values: number[]): TensorContent {
	return { name, type: "F32", dims: [values.length], data: new Uint8Array(Float32Array.from(values).buffer) };
}

const small: SafetensorsContent = {
	metadata: new Map([["format", "pt"]]),
	tensors: [
		{ name: "flags", type: "BOOL", dims: [3], data: Uint8Array.of(1, 0, 1) },
		{ name: "half", type: "F16", dims: [1, 3], data: Uint8Array.of(0, 0x3c, 0, 0xc0, 1, 0) },
		{ name: "ids", type: "I64", dims: [2], data: new Uint8Array(BigInt64Array.of(-1n, 49151n).buffer) },
		{ name: "brain", type: "BF16", dims: [2], data: () => Uint8Array.of(0x80, 0x3f, 0x20, 0xc1) },
		{ name: "empty", type: "F32", dims: [0, 7], data: new Uint8Array(0) },
		floats("Grüße", 1.5, -2),
	],
};

describe("readSafetensors", () => {
	test("reads back what was written", () => {
		const file = readSafetensors(memorySource("small.safetensors", encodeSafetensors(small)));
		expect(file.metadata).toEqual(new Map([["format", "pt"]]));
		expect(file.tensors.get("half")).toMatchObject({ type: "F16", dims: [1, 3], byteLength: 6 });
		expect([...file.read("half")]).toEqual([1, -2, 2 ** -24]);
		expect([...file.read("brain")]).toEqual([1, -10]);
		expect([...file.read("Grüße")]).toEqual([1.5, -2]);
		expect(file.read("empty")).toHaveLength(0);
		expect(file.readRows("empty", 0, 0)).toHaveLength(0);
		expect([...new BigInt64Array(file.readBytes("ids").buffer)]).toEqual([-1n, 49151n]);
		expect(() => file.read("ids")).toThrow(/expected tensor "ids" in one of the types F32.*got "I64"/);
	});

	test("the writer aligns: header to 8, tensors to their elements", () => {
		const bytes = encodeSafetensors(small);
		const length = Number(new DataView(bytes.buffer).getBigUint64(0, true));
		expect(length % 8).toBe(0);
		const header = JSON.parse(new TextDecoder().decode(bytes.subarray(8, 8 + length)));
		expect(header.ids.data_offsets).toEqual([0, 16]);
		expect(header.Grüße.data_offsets[0] % 4).toBe(0);
		expect(header.flags.data_offsets).toEqual([34, 37]);
	});

	test("reads transformers' file", () => {
		using file = openTensorFile(join(golden, "io.safetensors"));
		expect(file.tensors.get("input_ids")).toMatchObject({ type: "I64", dims: [2, 96] });
		const logits = file.read("logits");
		expect(logits).toHaveLength(file.tensors.get("logits")?.dims.reduce((a, b) => a * b) ?? 0);
		expect(file.readRows("logits", 1, 2)).toEqual(logits.slice(logits.length / 2));
	});

	test("a dtype that tok does not know opens, and reading names tensor and dtype", () => {
		const header = { w: { dtype: "F6_E2M3", shape: [4], data_offsets: [0, 3] } };
		const file = readSafetensors(memorySource("new.safetensors", safetensors(header, 3)));
		expect(file.readBytes("w")).toHaveLength(3);
		expect(() => file.read("w")).toThrow(/expected tensor "w" in one of the types .* got "unknown F6_E2M3"/);
		const eighth = { w: { dtype: "F8_E4M3", shape: [3], data_offsets: [0, 3] } };
		const known = readSafetensors(memorySource("f8.safetensors", safetensors(eighth, 3)));
		expect(() => known.read("w")).toThrow(/got "F8_E4M3"/);
	});
});

describe("a lying header is refused in words", () => {
	const good = { dtype: "F32", shape: [2], data_offsets: [0, 8] };
	test.each<[string, Uint8Array, RegExp]>([
		["no bytes", new Uint8Array(0), /header length needs 8 bytes at offset 0/],
		[
			"a header of 2^64 − 1 bytes",
			withLength(2n ** 64n - 1n, "{}"),
			/at most 2 bytes, got a length of 18446744073709552000/,
		],
		["a header beyond the file", withLength(3n, "{}"), /at most 2 bytes, got a length of 3/],
		["no JSON", withLength(2n, "{x"), /safetensors header to be UTF-8 JSON/],
		["a header of half a character", Uint8Array.of(1, 0, 0, 0, 0, 0, 0, 0, 0xc3), /to be UTF-8 JSON/],
		["an array", withLength(2n, "[]"), /to be a JSON object/],
		["null", withLength(4n, "null"), /to be a JSON object/],
		["deep nesting", withLength(100_000n, "[".repeat(100_000)), /to be UTF-8 JSON/],
		["deep nesting that is valid", deep(100_000), /"a": expected an object with dtype/],
		[
			"a name twice",
			safetensors(`{"a":${JSON.stringify(good)},"\\u0061":${JSON.stringify(good)}}`, 8),
			/the key "a" twice/,
		],
		[
			"a field twice",
			safetensors(`{"a":{"dtype":"F32","dtype":"F16","shape":[2],"data_offsets":[0,8]}}`, 8),
			/"dtype" twice/,
		],
		["metadata that is no object", safetensors({ __metadata__: [] }, 0), /__metadata__ to be an object/],
		[
			"metadata that is no text",
			safetensors({ __metadata__: { a: 1 } }, 0),
			/"a" to be a text, got a number/,
		],
		["a tensor that is no object", safetensors({ a: 1 }, 0), /"a": expected an object with dtype/],
		["no dtype", safetensors({ a: { ...good, dtype: undefined } }, 8), /dtype to be a text, got none/],
		["no shape", safetensors({ a: { ...good, shape: undefined } }, 8), /shape to be an array/],
		["a negative dimension", safetensors({ a: { ...good, shape: [-2] } }, 8), /integers ≥ 0/],
		["half a dimension", safetensors({ a: { ...good, shape: [0.5] } }, 8), /integers ≥ 0/],
		[
			"overflowing dimensions",
			safetensors({ a: { ...good, shape: [2 ** 40, 2 ** 40] } }, 8),
			/at most 2\^53 elements/,
		],
		[
			"overflow behind a zero",
			safetensors({ a: { ...good, shape: [0, 2 ** 50, 2 ** 50] } }, 8),
			/at most 2\^53 elements/,
		],
		[
			"three offsets",
			safetensors({ a: { ...good, data_offsets: [0, 4, 8] } }, 8),
			/data_offsets to be two integers/,
		],
		[
			"offsets in words",
			safetensors({ a: { ...good, data_offsets: ["0", "8"] } }, 8),
			/data_offsets to be two integers/,
		],
		[
			"an end before its begin",
			safetensors({ a: { ...good, data_offsets: [8, 0] } }, 8),
			/within the 8 bytes of data, got \[8, 0\]/,
		],
		[
			"an end beyond the file",
			safetensors({ a: { ...good, data_offsets: [0, 2 ** 50] } }, 8),
			/within the 8 bytes/,
		],
		[
			"a size of another dtype",
			safetensors({ a: { ...good, dtype: "F16" } }, 8),
			/expected 4 bytes for its dtype and shape, got 8/,
		],
		[
			"a block type",
			safetensors({ a: { dtype: "Q4_0", shape: [32], data_offsets: [0, 18] } }, 20),
			/cover all 20 bytes/,
		],
		[
			"overlap",
			safetensors({ a: good, b: { ...good, data_offsets: [4, 12] } }, 12),
			/"a" \[\d+, \d+\) overlaps "b"/,
		],
		[
			"a gap",
			safetensors({ a: good, b: { ...good, data_offsets: [12, 20] } }, 20),
			/cover all 20 bytes of data, but they cover 16/,
		],
		["bytes after the end", safetensors({ a: good }, 9), /cover all 9 bytes of data, but they cover 8/],
	])("%s", (_, data, message) => {
		let closed = false;
		const source: ByteSource = {
			...memorySource("lie.safetensors", data),
			close: () => {
				closed = true;
			},
		};
		const error = thrown(() => readSafetensors(source));
		expect(error.message).toMatch(/^\[tok\/lm\] lie\.safetensors: .*download it again$/);
		expect(error.message).toMatch(message);
		expect(closed).toBe(true);
	});

	test("a tensor called __proto__ is a tensor like any other", () => {
		const json = '{"__proto__":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}}';
		const file = readSafetensors(memorySource("proto.safetensors", safetensors(json, 1)));
		expect([...file.tensors.keys()]).toEqual(["__proto__"]);
	});

	test("every cut of a file is refused", () => {
		const whole = encodeSafetensors(small);
		for (let length = 0; length < whole.length; length++) {
			const cut = memorySource("cut.safetensors", whole.subarray(0, length));
			expect(thrown(() => readSafetensors(cut)).message).toMatch(/download it again$/);
		}
	});
});

describe("sharded folders", () => {
	function shards(name: string, index: unknown): string {
		const path = join(folder, name);
		mkdirSync(path);
		writeFileSync(
			join(path, "a.safetensors"),
			encodeSafetensors({ tensors: [floats("x", 1), floats("unlisted", 9)] }),
		);
		writeFileSync(join(path, "b.safetensors"), encodeSafetensors({ tensors: [floats("y", 2)] }));
		writeFileSync(
			join(path, "model.safetensors.index.json"),
			typeof index === "string" ? index : JSON.stringify(index),
		);
		return path;
	}

	test("the index joins shards; what it does not list is not there", () => {
		const path = shards("two", {
			metadata: { total_size: 8, nested: {} },
			weight_map: { y: "b.safetensors", x: "a.safetensors" },
		});
		using file = openSafetensors(diskFolder(path));
		expect([...file.tensors.keys()]).toEqual(["y", "x"]);
		expect([file.read("x")[0], file.read("y")[0]]).toEqual([1, 2]);
		expect(file.metadata).toEqual(new Map([["total_size", 8]]));
		file.close();
		expect(() => file.read("y")).toThrow(/has been closed/);
	});

	test.each<[string, unknown, RegExp]>([
		[
			"a missing shard",
			{ weight_map: { x: "c.safetensors" } },
			/expected the shard "c\.safetensors" beside the index/,
		],
		[
			"a missing tensor",
			{ weight_map: { y: "a.safetensors" } },
			/expected tensor "y" in "a\.safetensors", got none/,
		],
		[
			"a path",
			{ weight_map: { x: "../two/a.safetensors" } },
			/a file name as the shard of tensor "x", got "\.\.\/two/,
		],
		["a folder above", { weight_map: { x: ".." } }, /a file name as the shard/],
		["no text", { weight_map: { x: 1 } }, /a file name as the shard/],
		["no weight_map", {}, /weight_map to be an object/],
		[
			"a tensor twice",
			'{"weight_map":{"x":"a.safetensors","x":"b.safetensors"}}',
			/the index has the key "x" twice/,
		],
		["no JSON", "<html>", /the index to be UTF-8 JSON/],
	])("an index with %s is refused", (label, index, message) => {
		const error = thrown(() => openSafetensors(diskFolder(shards(`bad ${label}`, index))));
		expect(error.message).toMatch(message);
		expect(error.message).toMatch(/^\[tok\/lm\] .*model\.safetensors\.index\.json: .*download it again$/);
	});

	test("a damaged shard is named", () => {
		const path = shards("damaged", { weight_map: { x: "a.safetensors", y: "b.safetensors" } });
		writeFileSync(join(path, "b.safetensors"), "no");
		expect(() => openSafetensors(diskFolder(path))).toThrow(
			/b\.safetensors: the header length needs 8 bytes/,
		);
	});
});

describe("encodeSafetensors", () => {
	test.each<[string, TensorContent[], RegExp]>([
		[
			"a block type",
			[{ name: "q", type: "Q8_0", dims: [32], data: new Uint8Array(34) }],
			/a safetensors dtype, got Q8_0/,
		],
		["a repeated name", [floats("a", 1), floats("a", 2)], /unique names/],
		["the metadata's name", [floats("__metadata__", 1)], /__metadata__ is reserved/],
		["short data", [{ ...floats("a", 1), dims: [2] }], /expected 8 bytes for its type and dims, got 4/],
	])("refuses %s", (_, tensors, message) => {
		expect(() => encodeSafetensors({ tensors })).toThrow(message);
	});

	test("a tensor called __proto__ survives the round trip", () => {
		const bytes = encodeSafetensors({ tensors: [floats("__proto__", 4)] });
		expect(readSafetensors(memorySource("proto", bytes)).read("__proto__")[0]).toBe(4);
	});
});

describe("repeatedKey", () => {
	test.each([
		['{"a":1,"b":{"a":2}}', undefined],
		['[{"a":1},{"a":2}]', undefined],
		['{"a":["a","a"],"b":"a"}', undefined],
		['{"a":"}\\"{","b":"\\\\"}', undefined],
		['{"a" : 1, "b": [ {"c":0,"c" \n:1} ]}', "c"],
		['{"\\u0061":1,"a":2}', "a"],
		['{"":1,"":2}', ""],
	])("%s", (json, key) => {
		JSON.parse(json);
		expect(repeatedKey(json)).toBe(key);
	});
});

function withLength(length: bigint, json: string): Uint8Array {
	return Uint8Array.from([
		...new Uint8Array(BigUint64Array.of(length).buffer),
		...new TextEncoder().encode(json),
	]);
}

function deep(levels: number): Uint8Array {
	return safetensors(`{"a":${"[".repeat(levels)}${"]".repeat(levels)}}`, 0);
}

/** A file with this header and so many zero bytes of data. */
function safetensors(header: unknown, dataBytes: number): Uint8Array {
	const json = typeof header === "string" ? header : JSON.stringify(header);
	const bytes = withLength(BigInt(new TextEncoder().encode(json).length), json);
	const file = new Uint8Array(bytes.length + dataBytes);
	file.set(bytes);
	return file;
}

function thrown(action: () => unknown): TokError {
	try {
		action();
	} catch (error) {
		if (TokError.isInstance(error)) return error;
		throw error;
	}
	throw new Error("expected a TokError, nothing was thrown");
}
