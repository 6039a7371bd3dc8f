import { describe, expect, test } from "vitest";
import {
	compressive,
	createCache,
	dense,
	formatPolicy,
	fullSlots,
	memory,
	type Policy,
	type Positions,
	parsePolicy,
	recompute,
	rolling,
	sink,
} from "./index.ts";

describe("text", () => {
	test.each([
		["dense", [dense()]],
		["rolling:256", [rolling(256)]],
		["sink:4,rolling:252", [sink(4), rolling(252)]],
		["sink:4,sink:9,dense", [sink(4), sink(9), dense()]],
		["rolling:252:turns", [rolling(252, { turns: true })]],
		["recompute:256", [recompute(256)]],
		["sink:4,memory:16384/8x16,rolling:1020", [sink(4), memory({ capacity: 16384 }), rolling(1020)]],
		["memory:60/2x3,rolling:9", [memory({ capacity: 60, recall: 2, blockSize: 3 }), rolling(9)]],
		[
			"memory:64/8x4/16,rolling:9",
			[memory({ capacity: 64, recall: 8, blockSize: 4, every: 16 }), rolling(9)],
		],
		[
			"memory:64/8x4:least-recalled,rolling:9",
			[memory({ capacity: 64, blockSize: 4, eviction: "least-recalled" }), rolling(9)],
		],
		[
			"memory:64/8x4/2:rotated,rolling:9",
			[memory({ capacity: 64, blockSize: 4, every: 2, chosenBy: "rotated" }), rolling(9)],
		],
		[
			"memory:64/8x4:rotated:least-recalled,rolling:9",
			[memory({ capacity: 64, blockSize: 4, chosenBy: "rotated", eviction: "least-recalled" }), rolling(9)],
		],
		[
			"memory:64/8x4/16:least-recalled,rolling:9:turns",
			[
				memory({ capacity: 64, blockSize: 4, every: 16, eviction: "least-recalled" }),
				rolling(9, { turns: true }),
			],
		],
		["compressive:128/4/mean,rolling:9", [compressive({ slots: 128, rate: 4 }), rolling(9)]],
		[
			"sink:4,compressive:32/4/max,memory:1024/8x16,rolling:252:turns",
			[
				sink(4),
				compressive({ slots: 32, rate: 4, compressor: "max" }),
				memory({ capacity: 1024 }),
				rolling(252, { turns: true }),
			],
		],
	] as const)("K26: %s is read and written", (text, policy) => {
		expect(formatPolicy(policy)).toBe(text);
		expect(formatPolicy(parsePolicy(text))).toBe(text);
	});

	test.each([
		"",
		"window:4",
		"rolling",
		"rolling:",
		"rolling:4:",
		"rolling:4:turn",
		"rolling:4:turns:2",
		"rolling:1e3",
		"rolling:-4",
		"dense:4",
		"sink:4:turns,dense",
		"recompute:4:turns",
		"sink:4;rolling:4",
		"sink:4,,rolling:4",
		"sink:4, rolling:4",
		"memory:1024,rolling:252",
		"memory:1024/8,rolling:252",
		"memory:1024/8x,rolling:252",
		"memory:1024/8x16/,rolling:252",
		"memory:1024/8x16:newest,rolling:252",
		"memory:1024/8x16:least-recalled/4,rolling:252",
		"memory:1024/8x16:least-recalled:rotated,rolling:252",
		"memory:-1024/8x16,rolling:252",
		"compressive:128,rolling:252",
		"compressive:128/4/,rolling:252",
		"compressive:128/4/Mean,rolling:252",
	])('K26 K27: "%s" is refused with what can be written', (text) => {
		expect(() => parsePolicy(text)).toThrow(
			/^\[tok\/kv-cache] policy: expected dense, sink:N, rolling:N, rolling:N:turns, recompute:N, memory:CAPACITY\/BLOCKSxSIZE\/EVERY, memory:…:rotated:least-recalled or compressive:SLOTS\/RATE\/COMPRESSOR, got "/,
		);
	});

	test("K36: a merging compressor is the mean unless it is named", () => {
		expect(formatPolicy(parsePolicy("compressive:128/4,rolling:9"))).toBe("compressive:128/4/mean,rolling:9");
	});

	test("K27: sizes are checked in text as in code", () => {
		expect(() => parsePolicy("rolling:0")).toThrow(
			"rolling: expected an integer from 1 to 2147483647, got 0",
		);
	});
});

describe("sizes", () => {
	const segments = { sink, rolling, recompute };
	const sizes = [0, -1, 1.5, Number.NaN, Number.POSITIVE_INFINITY, 2 ** 31, "4" as unknown as number];
	for (const [name, create] of Object.entries(segments)) {
		test.each(sizes)(`K27: ${name}(%s) is an error`, (size) => {
			expect(() => create(size)).toThrow(
				`[tok/kv-cache] ${name}: expected an integer from 1 to 2147483647, got ${size}. `,
			);
		});
		test(`K27: ${name} takes the smallest and the largest size`, () => {
			expect(create(1).slots).toBe(1);
			expect(create(2 ** 31 - 1).describe()).toBe(`${name}:2147483647`);
		});
	}

	test.each([
		["memory:1024/8x0,rolling:252", "memory block size: expected an integer from 1 to 2147483647, got 0"],
		["memory:8/1x16,rolling:252", "memory capacity: expected an integer from 16 to 2147483647, got 8"],
		[
			"memory:1000/8x16,rolling:252",
			"memory capacity: expected a multiple of the block size 16, got 1000. Use 1008.",
		],
		["memory:64/5x16,rolling:252", "memory recall: expected an integer from 1 to 4, got 5"],
		["memory:64/1x16/0,rolling:252", "memory every: expected an integer from 1 to 2147483647, got 0"],
		["memory:64/0x16,rolling:252", "memory recall: expected an integer from 1 to 4, got 0"],
		["compressive:0/4,rolling:252", "compressive slots: expected an integer from 1 to 2147483647, got 0"],
		["compressive:9/1,rolling:252", "compressive rate: expected an integer from 2 to 2147483647, got 1"],
	])("K36 K37: %s is an error", (text, message) => {
		expect(() => parsePolicy(text)).toThrow(`[tok/kv-cache] ${message}`);
	});

	test("K36: a compressor is a name", () => {
		expect(() => compressive({ slots: 4, rate: 2, compressor: "two words" })).toThrow(
			'compressor: expected a name of letters, digits and "-", got "two words"',
		);
	});

	test("K27: turns is a boolean", () => {
		expect(() => rolling(4, { turns: 1 as unknown as boolean })).toThrow(
			"rolling: expected turns to be true",
		);
	});
});

describe("policies", () => {
	const refused: [string, unknown, string][] = [
		["empty", [], 'expected a last segment that takes every token, got ""'],
		["sinks alone", [sink(4)], 'expected a last segment that takes every token, got "sink:4"'],
		["a sink after the tail", [rolling(4), sink(4)], "expected nothing after rolling:4"],
		[
			"rolling and dense",
			[rolling(4), dense()],
			"expected nothing after rolling:4, which takes every token, got dense",
		],
		["two windows", [rolling(4), rolling(4)], "expected nothing after rolling:4"],
		["recompute after a sink", [sink(4), recompute(4)], "expected recompute alone"],
		["recompute before a window", [recompute(4), rolling(4)], "expected nothing after recompute:4"],
		["text", "dense", "expected an array of segments, got string"],
		["what is no segment", [sink(4), { kind: "rolling" }], "expected an array of segments"],
		["a hole", [undefined, dense()], "expected an array of segments"],
	];
	test.each(refused)("K1: %s is an error", (_, policy, message) => {
		expect(() => formatPolicy(policy as Policy)).toThrow(`[tok/kv-cache] policy: ${message}`);
		expect(() => createCache(policy as Policy)).toThrow(message);
	});

	test.each([
		["memory:64/1x16,memory:64/1x16,rolling:64", "expected one archive at most"],
		["memory:64/1x16,dense", "expected a window after memory:64/1x16, which takes what it drops, got dense"],
		[
			"memory:64/1x16,rolling:15",
			"expected groups within the 15 slots of rolling:15, got 16 for memory:64/1x16",
		],
		["memory:64/1x16,recompute:64", "expected recompute alone"],
		["rolling:64,memory:64/1x16", "expected nothing after rolling:64"],
		["memory:64/1x16", 'expected a last segment that takes every token, got "memory:64/1x16"'],
	])("K1 K31: %s is an error", (text, message) => {
		expect(() => parsePolicy(text)).toThrow(`[tok/kv-cache] policy: ${message}`);
	});

	test("K32 K33: slots of full buffers, with room for groups and for what arrives", () => {
		expect(fullSlots(parsePolicy("sink:4,rolling:252"))).toEqual([4, 252]);
		expect(fullSlots(parsePolicy("dense"))).toEqual([Number.POSITIVE_INFINITY]);
		expect(fullSlots(parsePolicy("recompute:4"))).toEqual([]);
		expect(fullSlots(parsePolicy("sink:4,memory:1024/8x16,rolling:252"))).toEqual([4, 1024 + 128, 252 + 15]);
		expect(fullSlots(parsePolicy("compressive:30/4,memory:1024/8x16,rolling:252"))).toEqual([
			30 + 32,
			// An incomplete group of four stays, in a buffer of whole blocks.
			1024 + 128 + 16,
			252 + 15,
		]);
		// A whole turn may leave at once.
		expect(fullSlots(parsePolicy("compressive:30/4,rolling:252:turns"))).toEqual([30 + 63, 252 + 3]);
	});

	test("K1: a receiver before a sink is an error", () => {
		const receiver = { ...rolling(4), takes: { group: 2, entries: 1 } };
		expect(() => createCache([receiver, sink(4), rolling(4)])).toThrow(
			"expected sinks before all other segments",
		);
	});

	test("K7 K8: other position modes are an error", () => {
		expect(() => createCache([dense()], { positions: "absolute" as Positions })).toThrow(
			'positions: expected "in-cache" or "original", got "absolute"',
		);
	});

	test("K27: errors carry the marker of TokError", () => {
		try {
			sink(0);
			expect.unreachable();
		} catch (error) {
			expect(error).toMatchObject({ [Symbol.for("tok.error")]: true, source: "kv-cache", name: "TokError" });
		}
	});

	test("K1: a cache keeps its own copy of the policy", () => {
		const policy = [sink(1), rolling(2)];
		const cache = createCache(policy);
		policy.pop();
		expect(formatPolicy(cache.policy)).toBe("sink:1,rolling:2");
	});
});
