import { describe, expect, test } from "vitest";
import { formatCache, formatColumns, formatDuration, formatNamedColumns, formatShare } from "./format.ts";

test.each([
	[0, "0 s"],
	[8200, "9 s"],
	[89_000, "89 s"],
	[91_000, "2 min"],
	[3_600_000, "60 min"],
	[9_000_000, "2.5 h"],
])("%d ms is %s", (milliseconds, text) => {
	expect(formatDuration(milliseconds)).toBe(text);
});

test("a cache, and what of it lies on disk", () => {
	expect(formatCache({ bytes: 3 * 2 ** 20, diskBytes: 0 })).toBe("cache 3.0 MiB");
	expect(formatCache({ bytes: 3 * 2 ** 20, diskBytes: 2 ** 20 })).toBe("cache 3.0 MiB (1.0 MiB on disk)");
});

test("shares in whole per cent", () => {
	expect([0, 0.004, 0.9375, 1].map(formatShare)).toEqual(["0 %", "0 %", "94 %", "100 %"]);
});

describe("columns", () => {
	test("numbers stand to the right, under their heads", () => {
		expect(
			formatColumns(
				["gap", "exact"],
				[
					["60", "15 of 16"],
					["1,000", "0 of 16"],
				],
			),
		).toBe("  gap     exact\n   60  15 of 16\n1,000   0 of 16\n");
	});

	test("names stand to the left", () => {
		expect(
			formatNamedColumns(
				["policy", "nats"],
				[
					["dense", "4.0"],
					["rolling:8", "12.5"],
				],
			),
		).toBe("policy     nats\ndense       4.0\nrolling:8  12.5\n");
	});

	test("a name that would make its line too long has a line of its own", () => {
		const rows = [
			["dense", "4.0"],
			["sink:4,rolling:1020", "12.5"],
		];
		expect(formatNamedColumns(["policy", "nats"], rows, 20)).toBe(
			"policy  nats\ndense    4.0\nsink:4,rolling:1020\n        12.5\n",
		);
	});

	test("a first row may have fewer cells", () => {
		expect(
			formatNamedColumns(
				["policy", "a", "b"],
				[
					["dense", "1"],
					["rolling:8", "2", "3"],
				],
			),
		).toBe("policy     a  b\ndense      1\nrolling:8  2  3\n");
	});
});
