import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { halfToNumber } from "./half.ts";
import {
	type KnownTensorType,
	readableTypes,
	tensorTypeOfDtype,
	tensorTypeOfId,
	tensorTypes,
} from "./tensor-types.ts";

interface Case {
	readonly type: KnownTensorType;
	readonly id: number;
	readonly blockSize: number;
	readonly typeSize: number;
	readonly shape: readonly [number, number];
	readonly bytes: string;
	readonly float32: string;
}

const golden = JSON.parse(
	readFileSync(new URL("../../../../../goldens/dequant.json", import.meta.url), "utf8"),
) as {
	readonly cases: readonly Case[];
};
const readable = golden.cases.filter(({ type }) => readableTypes.includes(type));

/** Float32 bits with one NaN: gguf-py's NaN payloads are not part of the format. */
function bits(values: Float32Array): number[] {
	return [...new Uint32Array(values.buffer, values.byteOffset, values.length)].map((word, i) =>
		Number.isNaN(values[i]) ? 0x7fc00000 : word,
	);
}

function decode(base64: string): Uint8Array {
	return new Uint8Array(Buffer.from(base64, "base64"));
}

describe("dequantize", () => {
	test("every readable type has golden blocks", () => {
		expect(new Set(readable.map(({ type }) => type))).toEqual(new Set(readableTypes));
		expect(readableTypes).toHaveLength(16);
	});

	test.each(golden.cases)("$type has gguf-py's id and block size", ({ type, id, blockSize, typeSize }) => {
		expect(tensorTypes[type]).toMatchObject({ id, blockSize, blockBytes: typeSize });
		expect(tensorTypeOfId(id)).toBe(type);
	});

	test.each(readable)("$type equals gguf-py's values bit for bit", ({ type, shape, bytes, float32 }) => {
		const out = new Float32Array(shape[0] * shape[1]).fill(Number.NaN);
		tensorTypes[type].dequantize?.(decode(bytes), out);
		const expected = new Float32Array(decode(float32).buffer);
		expect(expected.some((value) => Number.isFinite(value) && value !== 0)).toBe(true);
		expect(bits(out)).toEqual(bits(expected));
	});

	test.each(readable)(
		"$type reads blocks that start at an odd address",
		({ type, shape, bytes, float32 }) => {
			const blocks = decode(bytes);
			const shifted = new Uint8Array(blocks.length + 1);
			shifted.set(blocks, 1);
			const out = new Float32Array(shape[0] * shape[1]);
			tensorTypes[type].dequantize?.(shifted.subarray(1), out);
			expect(bits(out)).toEqual(bits(new Float32Array(decode(float32).buffer)));
		},
	);
});

describe("halfToNumber", () => {
	test.each([
		[0x0000, 0],
		[0x8000, -0],
		[0x3c00, 1],
		[0xc000, -2],
		[0x0001, 2 ** -24],
		[0x83ff, -1023 * 2 ** -24],
		[0x0400, 2 ** -14],
		[0x7bff, 65504],
		[0x7c00, Number.POSITIVE_INFINITY],
		[0xfc00, Number.NEGATIVE_INFINITY],
		[0x7c01, Number.NaN],
	])("half with bits %i", (half, value) => {
		expect(halfToNumber(half)).toBe(value);
	});
});

test("F16 and halfToNumber agree on every half", () => {
	const halves = Uint16Array.from({ length: 65536 }, (_, i) => i);
	const out = new Float32Array(65536);
	tensorTypes.F16.dequantize?.(new Uint8Array(halves.buffer), out);
	expect(bits(out)).toEqual(bits(Float32Array.from(halves, halfToNumber)));
});

describe("tensor types", () => {
	test("ids are unique", () => {
		const ids = Object.values(tensorTypes).flatMap(({ id }) => id ?? []);
		expect(new Set(ids).size).toBe(ids.length);
	});

	test("an unknown id and dtype are named", () => {
		expect(tensorTypeOfId(97)).toBe("unknown 97");
		expect(tensorTypeOfDtype("F6_E2M3")).toBe("unknown F6_E2M3");
		expect(tensorTypeOfDtype("Q4_0")).toBe("unknown Q4_0");
		expect(tensorTypeOfDtype("constructor")).toBe("unknown constructor");
		expect(tensorTypeOfDtype("BF16")).toBe("BF16");
	});
});
