import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gguf as parseWithHuggingface } from "@huggingface/gguf";
import { TokError } from "@tok/runtime";
import { afterAll, describe, expect, test } from "vitest";
import { openGguf } from "../testing/open-tensor-file.ts";
import { realModelPath, realModelReason } from "../testing/real-model.ts";
import { type ByteSource, memorySource } from "./byte-source.ts";
import { type GgufFile, readGguf } from "./gguf.ts";
import type { GgufValue } from "./gguf-values.ts";
import { encodeGguf, type GgufContent, ggufChunks } from "./gguf-writer.ts";
import { writeBytes } from "./open-bytes.ts";
import type { TensorContent } from "./tensor-content.ts";

const folder = mkdtempSync(join(tmpdir(), "tok-gguf-"));
afterAll(() => rmSync(folder, { recursive: true }));

function floats(name: string, dims: readonly number[], ...values: number[]): TensorContent {
	return { name, type: "F32", dims, data: new Uint8Array(Float32Array.from(values).buffer) };
}

/** A Q8_0 matrix [rows, 32]: row r has scale 1 and the values r, r + 1, … */
function q8(name: string, rows: number): TensorContent {
	const data = new Uint8Array(rows * 34);
	for (let r = 0; r < rows; r++) {
		data.set([0x00, 0x3c, ...Array.from({ length: 32 }, (_, i) => r + i)], r * 34);
	}
	return { name, type: "Q8_0", dims: [rows, 32], data };
}

const everyValue: ReadonlyMap<string, GgufValue> = new Map<string, GgufValue>([
	["general.architecture", { type: "string", value: "llama" }],
	["a.uint8", { type: "uint8", value: 255 }],
	["a.int8", { type: "int8", value: -128 }],
	["a.uint16", { type: "uint16", value: 65535 }],
	["a.int16", { type: "int16", value: -32768 }],
	["a.uint32", { type: "uint32", value: 4294967295 }],
	["a.int32", { type: "int32", value: -2147483648 }],
	["a.float32", { type: "float32", value: Math.fround(0.1) }],
	["a.float64", { type: "float64", value: 0.1 }],
	["a.uint64", { type: "uint64", value: 2n ** 64n - 1n }],
	["a.int64", { type: "int64", value: -42n }],
	["a.bool", { type: "bool", value: true }],
	["a.text", { type: "string", value: "\uFEFFGrüße, 世界 🌍" }],
	["a.empty", { type: "string", value: "" }],
	["b.tokens", { type: "array", of: "string", value: ["a", "", "Ġthe", "é"] }],
	["b.types", { type: "array", of: "int32", value: [1, -1, 3] }],
	["b.scores", { type: "array", of: "float32", value: [0.5, -1.5] }],
	["b.flags", { type: "array", of: "bool", value: [true, false] }],
	["b.large", { type: "array", of: "uint64", value: [1n, 2n ** 60n] }],
	["b.none", { type: "array", of: "string", value: [] }],
	[
		"b.nested",
		{
			type: "array",
			of: "array",
			value: [
				{ type: "array", of: "int32", value: [1, 2] },
				{ type: "array", of: "string", value: ["x"] },
			],
		},
	],
]);

const small: GgufContent = {
	values: everyValue,
	tensors: [floats("norm.weight", [3], 1, -2.5, 3), q8("token_embd.weight", 4), floats("scalar", [], 7)],
};

function read(content: GgufContent): GgufFile {
	return readGguf(memorySource("small.gguf", encodeGguf(content)));
}

describe("readGguf", () => {
	test("reads back every metadata type as written", () => {
		const file = read(small);
		expect(file.version).toBe(3);
		expect(file.alignment).toBe(32);
		expect(file.values).toEqual(everyValue);
	});

	test("gives plain metadata: bigints only where a number would lose digits, nested arrays flat of types", () => {
		const { metadata } = read(small);
		expect(metadata.get("a.int64")).toBe(-42);
		expect(metadata.get("a.uint64")).toBe(2n ** 64n - 1n);
		expect(metadata.get("b.large")).toEqual([1, 2n ** 60n]);
		expect(metadata.get("b.nested")).toEqual([[1, 2], ["x"]]);
		expect(metadata.get("b.tokens")).toEqual(["a", "", "Ġthe", "é"]);
	});

	test("reads tensors, dims outermost first", () => {
		const file = read(small);
		expect(file.tensors.get("token_embd.weight")).toMatchObject({
			type: "Q8_0",
			dims: [4, 32],
			byteLength: 136,
		});
		expect([...file.read("norm.weight")]).toEqual([1, -2.5, 3]);
		expect([...file.read("scalar")]).toEqual([7]);
		expect([...file.read("token_embd.weight").subarray(64, 68)]).toEqual([2, 3, 4, 5]);
		expect(file.readBytes("token_embd.weight")).toEqual(small.tensors[1]?.data);
	});

	test("reads rows alone", () => {
		const file = read(small);
		expect([...file.readRows("token_embd.weight", 2, 4)]).toEqual([
			...file.read("token_embd.weight").subarray(64),
		]);
		expect(file.readRows("token_embd.weight", 1, 1)).toHaveLength(0);
		const out = new Float32Array(6).subarray(1);
		expect(() => file.read("token_embd.weight", out)).toThrow(
			/expected room for the \d+ elements .*, got 5; give an array/,
		);
		const whole = file.read("token_embd.weight");
		const into = new Float32Array(whole.length + 3).subarray(2, whole.length + 2);
		expect(file.read("token_embd.weight", into)).toBe(into);
		expect(into).toEqual(whole);
		expect(() => file.readRows("token_embd.weight", 3, 5)).toThrow(/rows within \[0, 4\).*got \[3, 5\)/);
		expect(() => file.readRows("token_embd.weight", 0.5, 1)).toThrow(/rows within/);
		expect(() => file.readRows("scalar", 0, 1)).toThrow(/rows within \[0, 0\)/);
	});

	test("writing what was read gives the same bytes", () => {
		const bytes = encodeGguf(small);
		const file = readGguf(memorySource("small.gguf", bytes));
		const tensors = [...file.tensors.values()].map(({ name, type, dims }) => ({
			name,
			type,
			dims,
			data: () => file.readBytes(name),
		}));
		expect(encodeGguf({ values: file.values, tensors })).toEqual(bytes);
	});

	test("obeys general.alignment", () => {
		const values = new Map<string, GgufValue>([["general.alignment", { type: "uint32", value: 4096 }]]);
		const bytes = encodeGguf({ values, tensors: [floats("a", [1], 1), floats("b", [1], 2)] });
		expect(bytes).toHaveLength(3 * 4096);
		const file = readGguf(memorySource("aligned.gguf", bytes));
		expect(file.alignment).toBe(4096);
		expect([...file.read("b")]).toEqual([2]);
	});

	test("reads version 2 and a last tensor without padding", () => {
		const bytes = encodeGguf(small);
		bytes[4] = 2;
		const file = readGguf(memorySource("v2.gguf", bytes.subarray(0, bytes.length - 28)));
		expect(file.version).toBe(2);
		expect([...file.read("scalar")]).toEqual([7]);
	});

	test("reads a header that spans many windows, and no tensor before it is asked for", () => {
		const text = "é".repeat(300_000);
		const tokens = Array.from({ length: 50_000 }, (_, i) => `token ${i}`);
		const content: GgufContent = {
			values: new Map<string, GgufValue>([
				["long", { type: "string", value: text }],
				["tokens", { type: "array", of: "string", value: tokens }],
			]),
			tensors: [{ name: "large", type: "F16", dims: [20_000_000], data: new Uint8Array(40_000_000) }],
		};
		const source = counted(memorySource("long.gguf", encodeGguf(content)));
		const file = readGguf(source);
		expect(file.metadata.get("long")).toBe(text);
		expect(file.metadata.get("tokens")).toEqual(tokens);
		expect(source.bytesRead()).toBeLessThan(8_000_000);
	});
});

describe("agrees with @huggingface/gguf", () => {
	test("on metadata and tensor infos of our writer's file", async () => {
		const path = join(folder, "small.gguf");
		await writeBytes(path, ggufChunks(small));
		expect(readdirSync(folder)).toEqual(["small.gguf"]);
		using file = openGguf(path);
		await expectAgreement(file, path);
	});

	test("on a real model", async ({ skip }) => {
		const path = realModelPath() ?? "";
		skip(path === "", realModelReason);
		using file = openGguf(path);
		await expectAgreement(file, path);
		expect(file.tensors.size).toBe(272);
		expect(file.tensors.get("token_embd.weight")).toMatchObject({ type: "Q8_0", dims: [49152, 576] });
		let elements = 0;
		for (const name of file.tensors.keys()) elements += file.read(name).length;
		expect(elements).toBe(134_515_008);
		const row = file.readRows("token_embd.weight", 49151, 49152);
		expect(row).toEqual(file.read("token_embd.weight").slice(-576));
	});
});

async function expectAgreement(file: GgufFile, path: string): Promise<void> {
	const theirs = await parseWithHuggingface(path, { allowLocalFile: true, typedMetadata: true });
	const plain = (value: unknown): unknown => {
		if (typeof value === "bigint") return BigInt.asIntN(54, value) === value ? Number(value) : value;
		return Array.isArray(value) ? value.map(plain) : value;
	};
	const counts = new Set(["version", "tensor_count", "kv_count"]);
	const metadata = Object.entries(theirs.metadata).filter(([key]) => !counts.has(key));
	// Their decoder drops a byte order mark; it is part of the text.
	const unmarked = [...file.metadata].map(([key, value]) => [
		key,
		typeof value === "string" ? value.replace(/^\uFEFF/, "") : value,
	]);
	expect(unmarked).toEqual(metadata.map(([key, value]) => [key, plain(value)]));
	expect(theirs.metadata.version).toBe(file.version);
	expect(file.tensors.size).toBe(theirs.tensorInfos.length);
	const bytes = readFileSync(path);
	for (const { name, shape, offset } of theirs.tensorInfos) {
		const info = file.tensors.get(name);
		expect(info?.dims).toEqual(shape.map(Number).reverse());
		const start = Number(theirs.tensorDataOffset + offset);
		const stored = file.readBytes(name);
		expect(Buffer.compare(stored, bytes.subarray(start, start + stored.length))).toBe(0);
	}
}

describe("what cannot be read", () => {
	test("a known type opens, and reading names tensor and type", () => {
		const file = read({
			values: new Map(),
			tensors: [{ name: "blk.0.w", type: "IQ2_XXS", dims: [256], data: new Uint8Array(66) }],
		});
		expect(file.readBytes("blk.0.w")).toHaveLength(66);
		expect(() => file.read("blk.0.w")).toThrow(
			/expected tensor "blk\.0\.w" in one of the types F32, .*got "IQ2_XXS"; use/,
		);
		expect(() => file.readRows("blk.0.w", 0, 1)).toThrow(/got "IQ2_XXS"/);
	});

	test("a part of a split model is named as one", () => {
		const values = new Map<string, GgufValue>([["split.count", { type: "uint16", value: 3 }]]);
		expect(() => read({ values, tensors: [] })).toThrow(/one of 3 parts of a split one; join them/);
	});

	test("every cut of a file is refused", () => {
		const whole = encodeGguf(small);
		for (let length = 0; length < whole.length - 28; length += 7) {
			const cut = memorySource("cut.gguf", whole.subarray(0, length));
			expect(thrown(() => readGguf(cut)).message).toMatch(/download it again$/);
		}
	});

	test("a name that is not there lists some that are", () => {
		expect(() => read(small).read("x")).toThrow(/a tensor "x", but none of its 3 tensors.*"norm\.weight"/);
	});

	test("rows that are not whole blocks", () => {
		const file = read({
			values: new Map(),
			tensors: [{ name: "v", type: "Q8_0", dims: [64], data: new Uint8Array(68) }],
		});
		expect(() => file.readRows("v", 0, 1)).toThrow(/rows of whole 32-element blocks/);
	});
});

describe("files", () => {
	test("a missing file, a folder, and a text file", () => {
		expect(() => openGguf(join(folder, "none.gguf"))).toThrow(
			/none\.gguf: the file could not be opened \(ENOENT/,
		);
		expect(() => openGguf(folder)).toThrow(/expected a file, got something else/);
		const path = join(folder, "note.gguf");
		writeFileSync(path, "version https://git-lfs.github.com/spec/v1\n");
		expect(() => openGguf(path)).toThrow(/expected a GGUF file .*got 76 65 72 73/);
	});

	test("closing is final and can be repeated", () => {
		const path = join(folder, "closed.gguf");
		writeFileSync(path, encodeGguf(small));
		const file = openGguf(path);
		file.close();
		file.close();
		expect(() => file.read("norm.weight")).toThrow(/expected an open file, but it has been closed/);
	});

	test("a file that shrinks while it is open", () => {
		const path = join(folder, "shrinking.gguf");
		writeFileSync(path, encodeGguf(small));
		using file = openGguf(path);
		writeFileSync(path, readFileSync(path).subarray(0, 900));
		expect(() => file.read("scalar")).toThrow(
			/expected 1120 bytes as when it was opened, got none at offset 1088;.*download it again/,
		);
	});
});

describe("ggufChunks", () => {
	test.each<[string, GgufContent, RegExp]>([
		[
			"data of another length",
			{ values: new Map(), tensors: [floats("t", [2], 1)] },
			/expected 8 bytes .* got 4/,
		],
		[
			"a repeated name",
			{ values: new Map(), tensors: [floats("t", [1], 1), floats("t", [1], 1)] },
			/unique names, got this one twice/,
		],
		[
			"5 dimensions",
			{ values: new Map(), tensors: [floats("t", [1, 1, 1, 1, 1], 1)] },
			/at most 4 dimensions, got 5/,
		],
		["a negative dimension", { values: new Map(), tensors: [floats("t", [-1])] }, /integers ≥ 0, got \[-1\]/],
		[
			"a type that GGUF lacks",
			{ values: new Map(), tensors: [{ name: "t", type: "BOOL", dims: [1], data: new Uint8Array(1) }] },
			/a type that GGUF has, got BOOL/,
		],
		[
			"an unknown type",
			{ values: new Map(), tensors: [{ name: "t", type: "unknown 97", dims: [1], data: new Uint8Array(1) }] },
			/a known type, got "unknown 97"/,
		],
		[
			"a number that its type cannot hold",
			{ values: new Map([["k", { type: "uint8", value: 300 }]]), tensors: [] },
			/a value that uint8 can hold, got 300/,
		],
		[
			"a bigint that its type cannot hold",
			{ values: new Map([["k", { type: "int64", value: 2n ** 63n }]]), tensors: [] },
			/a value that int64 can hold/,
		],
		[
			"an odd alignment",
			{ values: new Map([["general.alignment", { type: "uint32", value: 24 }]]), tensors: [] },
			/power of two, got uint32 24/,
		],
	])("refuses %s, and leaves the old file alone", async (label, content, message) => {
		const path = join(folder, `${label}.gguf`);
		writeFileSync(path, "old");
		const error = await writeBytes(path, ggufChunks(content)).catch((reason: unknown) => reason);
		expect(TokError.isInstance(error)).toBe(true);
		expect((error as TokError).message).toMatch(/^\[tok\/lm\] /);
		expect((error as TokError).message).toMatch(message);
		expect(readFileSync(path, "utf8")).toBe("old");
		expect(readdirSync(folder).filter((file) => file.endsWith(".part"))).toEqual([]);
	});

	test("a folder that is not there", async () => {
		await expect(writeBytes(join(folder, "none/x.gguf"), ggufChunks(small))).rejects.toThrow(
			/the file could not be written \(ENOENT/,
		);
	});
});

function thrown(action: () => unknown): TokError {
	try {
		action();
	} catch (error) {
		if (TokError.isInstance(error)) return error;
		throw error;
	}
	throw new Error("expected a TokError, nothing was thrown");
}

interface CountedSource extends ByteSource {
	bytesRead(): number;
}

function counted(source: ByteSource): CountedSource {
	let total = 0;
	return {
		...source,
		read(offset, length) {
			total += length;
			return source.read(offset, length);
		},
		bytesRead: () => total,
	};
}
