/** Curves over endless runs. */
import { describe, expect, test } from "vitest";
import { MovingMean, Series } from "./series.ts";

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
