/** Headers that lie, byte by byte: what `readGguf` says of each, and that it allocates nothing for the lie. */
import { TokError } from "@tok/runtime";
import { describe, expect, test } from "vitest";
import { type ByteSource, memorySource } from "./byte-source.ts";
import { readGguf } from "./gguf.ts";

describe("a lying header is refused in words", () => {
	test.each<[string, Uint8Array, RegExp]>([
		["no bytes", bytes(), /needs 1 bytes at offset 0, but only 0 remain.*download it again/],
		["another format", bytes(text("PK\x03\x04"), u32(3)), /expected a GGUF file .*got 50 4b 03 04/],
		["big-endian", bytes(text("GGUF"), [0, 0, 0, 3]), /little-endian GGUF file, got a big-endian one/],
		["version 1", bytes(text("GGUF"), u32(1)), /version 2 or 3, got 1/],
		["version 4", bytes(text("GGUF"), u32(4)), /version 2 or 3, got 4/],
		["2^63 tensors", header(2n ** 63n, 0n), /claims 9223372036854776000 entries of at least 24 bytes/],
		[
			"2^64 − 1 metadata keys",
			header(0n, 2n ** 64n - 1n),
			/claims 18446744073709552000 entries of at least 13/,
		],
		[
			"a key of 2^62 bytes",
			header(0n, 1n, u64(2n ** 62n), zeros(64)),
			/claims a text of 4611686018427388000 bytes/,
		],
		["a key that is not UTF-8", header(0n, 1n, u64(1n), [0xff], zeros(64)), /expected UTF-8 text/],
		[
			"an unknown value type",
			header(0n, 1n, name("k"), u32(13), zeros(64)),
			/"k" expected a value type of 0 to 12, got 13/,
		],
		[
			"a boolean of 2",
			header(0n, 1n, name("k"), u32(7), [2], zeros(64)),
			/expected a boolean of 0 or 1, got 2/,
		],
		[
			"an array of 2^63 elements",
			header(0n, 1n, name("k"), u32(9), u32(0), u64(2n ** 63n), zeros(64)),
			/"k" claims 9223372036854776000 entries of at least 1 bytes, but only 64 bytes remain/,
		],
		[
			"an array of more texts than there are bytes",
			header(0n, 1n, name("k"), u32(9), u32(8), u64(9n), zeros(64)),
			/claims 9 entries of at least 8 bytes, but only 64/,
		],
		[
			"arrays nested without end",
			header(
				0n,
				1n,
				name("k"),
				u32(9),
				...Array.from({ length: 9 }, () => [...u32(9), ...u64(1n)]),
				zeros(64),
			),
			/nests arrays more than 4 deep/,
		],
		["a key twice", header(0n, 2n, keyed("k"), keyed("k"), zeros(64)), /metadata key "k" comes twice/],
		["no alignment", aligned(u32(4), u32(0)), /power of two as general.alignment, got uint32 "0"/],
		["an odd alignment", aligned(u32(4), u32(48)), /power of two as general.alignment, got uint32 "48"/],
		[
			"an alignment in words",
			aligned(u32(8), name("32")),
			/power of two as general.alignment, got string "32"/,
		],
		[
			"a tensor twice",
			tensors(tensor("t", [8n], 0, 0n), tensor("t", [8n], 0, 32n)),
			/tensor "t" comes twice/,
		],
		["5 dimensions", tensors(tensor("t", [1n, 1n, 1n, 1n, 1n], 0, 0n)), /at most 4 dimensions, got 5/],
		["2^32 − 1 dimensions", tensors([...name("t"), ...u32(2 ** 32 - 1), ...zeros(64)]), /got 4294967295/],
		["a dimension of 2^63", tensors(tensor("t", [2n ** 63n], 0, 0n)), /at most 2\^53 elements/],
		["overflowing dimensions", tensors(tensor("t", [2n ** 32n, 2n ** 32n], 0, 0n)), /at most 2\^53 elements/],
		["overflow behind a zero", tensors(tensor("t", [0n, 2n ** 60n], 0, 0n)), /at most 2\^53 elements/],
		[
			"a row of half a block",
			tensors(tensor("t", [16n], 8, 0n)),
			/multiple of Q8_0's block of 32, got dims \[16\]/,
		],
		["an offset beyond the file", tensors(tensor("t", [8n], 0, 2n ** 40n)), /bytes \[1099511627776, /],
		["an unaligned offset", tensors(tensor("t", [8n], 0, 4n)), /multiple of 32, got 4/],
		[
			"a tensor longer than the file",
			tensors(tensor("t", [1000n], 0, 0n)),
			/bytes \[0, 4000\) of the data, but the file has/,
		],
		[
			"overlapping tensors",
			tensors(tensor("s", [16n], 0, 0n), tensor("t", [8n], 0, 32n)),
			/"s" \[\d+, \d+\) overlaps "t" at \d+/,
		],
	])("%s", (_, data, message) => {
		let closed = false;
		const close = (): void => {
			closed = true;
		};
		const source: ByteSource = { ...memorySource("lie.gguf", data), close };
		const error = thrown(() => readGguf(source));
		expect(error.message).toMatch(/^\[tok\/lm\] lie\.gguf: /);
		expect(error.message).toMatch(message);
		expect(closed).toBe(true);
	});

	test("a text of 32 GiB is refused even where the file is large enough for it", () => {
		const start = header(0n, 1n, u64(2n ** 35n));
		const read = (offset: number, length: number): Uint8Array<ArrayBuffer> => {
			const window = new Uint8Array(length);
			window.set(start.subarray(offset, offset + length));
			return window;
		};
		const source: ByteSource = { path: "large.gguf", size: 2 ** 40, stamp: undefined, read, close: () => {} };
		expect(() => readGguf(source)).toThrow(
			/claims a text of 34359738368 bytes, but only 67108832 bytes remain for the header/,
		);
	});

	test("a long name is cut in the error", () => {
		const data = header(0n, 1n, name("k".repeat(5000)), u32(99), zeros(64));
		expect(thrown(() => readGguf(memorySource("long.gguf", data))).message.length).toBeLessThan(400);
	});
});

test("an unknown type spans the bytes up to the next tensor", () => {
	const data = tensors(tensor("s", [8n], 97, 0n), tensor("t", [8n], 0, 64n));
	const file = readGguf(memorySource("new.gguf", data));
	expect(file.tensors.get("s")).toMatchObject({ type: "unknown 97", byteLength: 64 });
	expect(file.read("t")).toHaveLength(8);
	expect(() => file.read("s")).toThrow(/got "unknown 97"/);
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

function bytes(...parts: (readonly number[])[]): Uint8Array {
	return Uint8Array.from(parts.flat());
}

function zeros(length: number): number[] {
	return new Array<number>(length).fill(0);
}

function u32(value: number): number[] {
	return [...new Uint8Array(Uint32Array.of(value).buffer)];
}

function u64(value: bigint): number[] {
	return [...new Uint8Array(BigUint64Array.of(value).buffer)];
}

function text(value: string): number[] {
	return [...new TextEncoder().encode(value)];
}

function name(value: string): number[] {
	return [...u64(BigInt(value.length)), ...text(value)];
}

function header(tensorCount: bigint, keyCount: bigint, ...rest: (readonly number[])[]): Uint8Array {
	return bytes(text("GGUF"), u32(3), u64(tensorCount), u64(keyCount), ...rest);
}

/** A metadata entry with the uint8 value 1. */
function keyed(key: string): number[] {
	return [...name(key), ...u32(0), 1];
}

function aligned(type: readonly number[], value: readonly number[]): Uint8Array {
	return header(0n, 1n, name("general.alignment"), type, value);
}

function tensor(label: string, innermostFirst: readonly bigint[], type: number, offset: bigint): number[] {
	return [
		...name(label),
		...u32(innermostFirst.length),
		...innermostFirst.flatMap(u64),
		...u32(type),
		...u64(offset),
	];
}

/** A file of tensor entries without metadata and with 128 bytes of data. */
function tensors(...entries: (readonly number[])[]): Uint8Array {
	const head = header(BigInt(entries.length), 0n, ...entries);
	return bytes([...head], zeros((32 - (head.length % 32)) % 32), zeros(128));
}
