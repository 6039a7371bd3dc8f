/** Numbers as the page writes them. */
import { describe, expect, test } from "vitest";
import { formatBytes, formatCount, formatPercent, significant } from "./format.ts";

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
