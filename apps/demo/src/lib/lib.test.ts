/** What the page computes beside the model. */
import { createCache, parsePolicy } from "@tok/kv-cache";
import { describe, expect, test } from "vitest";
import { formatBytes, formatCount, formatPercent, significant } from "./format.ts";
import { memoryHeadsOf } from "./memory-heads.ts";
import { roomProblem } from "./room.ts";
import { MovingMean, Series } from "./series.ts";
import { advance, slotMap, slotState } from "./slot-map.ts";
import { validLanguage } from "./valid-language.ts";
import { pinnedTokens, windowStart } from "./window-start.ts";

describe("numbers", () => {
	test.each([
		[0, "0\u202fB"],
		[999, "999\u202fB"],
		[98_400_000, "98.4\u202fMB"],
		[999_600, "1.00\u202fMB"],
		[Number.POSITIVE_INFINITY, "no limit"],
	])("%d bytes", (bytes, text) => expect(formatBytes(bytes)).toBe(text));

	test("counts, shares, digits", () => {
		expect(formatCount(1234567)).toBe("1\u202f234\u202f567");
		expect([formatPercent(0.0314), formatPercent(0.42)]).toEqual(["3.1\u202f%", "42\u202f%"]);
		expect([significant(0.1234), significant(12.34), significant(1234.5), significant(Number.NaN)]).toEqual([
			"0.12",
			"12.3",
			"1\u202f235",
			"–",
		]);
	});
});

describe("a curve", () => {
	test("has a bounded number of points, whose mean is that of the samples", () => {
		const series = new Series(1, 64);
		for (let x = 0; x < 100_000; x++) series.push(x, x % 10);
		expect(series.xs.length).toBeLessThanOrEqual(64);
		expect(series.xs.length).toBeGreaterThan(16);
		expect([...series.xs]).toEqual([...series.xs].sort((a, b) => a - b));
		expect(series.ys.slice(0, -1).reduce((sum, y) => sum + y, 0) / (series.ys.length - 1)).toBeCloseTo(
			4.5,
			1,
		);
	});

	test("a moving mean is of the last values alone", () => {
		const mean = new MovingMean(3);
		expect(mean.value).toBeUndefined();
		for (const value of [100, 1, 2, 3]) mean.push(value);
		expect([mean.value, mean.count]).toEqual([2, 4]);
	});
});

describe("a map of slots", () => {
	const kinds = (policy: string, tokens: number) => {
		const cache = createCache(parsePolicy(policy));
		return slotMap(cache, advance(cache, tokens));
	};

	test("sinks stay, the window wraps, what comes next is told", () => {
		const cache = createCache(parsePolicy("sink:2,rolling:4"));
		advance(cache, 7);
		const [sinks, ring] = slotMap(cache, advance(cache, 1));
		expect([...(sinks?.cells ?? [])]).toEqual([slotState.sink, slotState.sink]);
		const { kept, fresh, leaving } = slotState;
		expect([...(ring?.cells ?? [])].sort()).toEqual([kept, kept, fresh, leaving].sort());
	});

	test("a long archive has cells for several slots", () => {
		const segments = kinds("sink:4,memory:65536/8x16,rolling:252", 2000);
		const memory = segments.find(({ kind }) => kind === "memory");
		expect(memory?.cells.length).toBeLessThanOrEqual(1024);
		expect(memory?.group).toBeGreaterThanOrEqual(16);
		expect(memory?.cells).toContain(slotState.archived);
	});

	test("what is read again for every token is always fresh", () => {
		const [only] = kinds("recompute:8", 3);
		expect([...(only?.cells ?? [])].filter((state) => state === slotState.fresh)).toHaveLength(3);
	});
});

describe("where the window begins", () => {
	const policy = parsePolicy("sink:4,rolling:10:turns");
	test.each([
		[8, [], 4],
		[100, [], 90],
		[100, [4, 60, 93, 99], 93],
	])("of %d tokens with turns at %j", (length, turns, start) => {
		expect(windowStart(policy, length, turns)).toBe(start);
		expect(pinnedTokens(policy)).toBe(4);
	});
});

describe("room for a model", () => {
	test("fits, is too large for a page, or for the quota", () => {
		expect(roomProblem({ bytes: 98e6, quota: 1e9, usage: 0 })).toBeUndefined();
		expect(roomProblem({ bytes: 98e6, quota: undefined, usage: undefined })).toBeUndefined();
		expect(roomProblem({ bytes: 4e9, quota: undefined, usage: 0 })).toContain("4.00\u202fGB");
		expect(roomProblem({ bytes: 98e6, quota: 100e6, usage: 50e6 })).toContain("grants this site");
	});
});

test("heads that remember are known by the model's name", () => {
	expect(
		memoryHeadsOf("/models/smollm2-135m.gguf")?.reduce((sum, { heads }) => sum + (heads?.length ?? 0), 0),
	).toBe(14);
	expect(memoryHeadsOf("other.gguf")).toBeUndefined();
});

test.each([
	["en-US@posix", "en-US"],
	["de-CH", "de-CH"],
	["C", "en"],
	["", "en"],
])("of the language %j what is a tag remains: %s", (language, tag) => {
	expect(validLanguage(language)).toBe(tag);
});
