import { describe, expect, test } from "vitest";
import {
	createCache,
	dense,
	formatPolicy,
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
	])('K26 K27: "%s" is refused with what can be written', (text) => {
		expect(() => parsePolicy(text)).toThrow(
			/^\[tok\/kv-cache] policy: expected dense, sink:N, rolling:N, rolling:N:turns or recompute:N, got "/,
		);
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
