import { describe, expect, test } from "vitest";
import { blockInterval } from "./block-bootstrap.ts";
import { Random } from "./random.ts";

describe("an interval for a mean", () => {
	test("of two blocks: the means that two draws can give are 0, 1/2 and 1, the outer ones in a quarter each", () => {
		expect(blockInterval([0, 0, 1, 1], { block: 2 })).toEqual({ low: 0, high: 1 });
	});

	test("of blocks that are alike is their mean", () => {
		expect(blockInterval([1, 3, 1, 3, 1, 3], { block: 2 })).toEqual({ low: 2, high: 2 });
	});

	// Of 9 zeros and a one, the number of ones in ten draws is binomial (10, 0.1): P(0) = 0.349, and P(≤ 2) = 0.930,
	// P(≤ 3) = 0.987, so the central 95 % reach from 0 to 3 of 10.
	test("follows the binomial distribution where a block is a zero or a one", () => {
		const values = [0, 0, 0, 0, 0, 0, 0, 0, 0, 1];
		expect(blockInterval(values, { block: 1 })).toEqual({ low: 0, high: 0.3 });
	});

	// Of four draws from [2, 2], [2, 2], [2, 2] and [7], three are the short block in 12 of 256 cases, all four in one:
	// the upper end is (4 + 3 · 7)/5.
	test("weighs a shorter last block by its length", () => {
		expect(blockInterval([2, 2, 2, 2, 2, 2, 7], { block: 2 })).toEqual({ low: 2, high: 5 });
	});

	test("of a random series is near that of the normal distribution: mean ± 1.96 σ/√n", () => {
		const random = new Random(3);
		// Uniform in [0, 1): σ = √(1/12).
		const values = Array.from({ length: 4096 }, () => random.below(1_000_000) / 1_000_000);
		const half = (1.96 * Math.sqrt(1 / 12)) / Math.sqrt(4096);
		const { low, high } = blockInterval(values, { block: 32 }) ?? { low: 0, high: 0 };
		expect((high - low) / 2).toBeGreaterThan(0.8 * half);
		expect((high - low) / 2).toBeLessThan(1.2 * half);
	});

	test("is wider where neighbours are alike and blocks keep them together", () => {
		const values = Array.from({ length: 1024 }, (_, index) => Math.floor(index / 64) % 2);
		const width = (block: number) => {
			const interval = blockInterval(values, { block }) ?? { low: 0, high: 0 };
			return interval.high - interval.low;
		};
		expect(width(64)).toBeGreaterThan(4 * width(1));
	});

	test("is the same for the same seed", () => {
		const values = Array.from({ length: 100 }, (_, index) => Math.sin(index));
		const draw = (seed: number) => blockInterval(values, { block: 5, seed });
		expect(draw(1)).toEqual(draw(1));
		expect(draw(2)).not.toEqual(draw(1));
	});

	test("needs two blocks", () => {
		expect(blockInterval([1, 2], { block: 2 })).toBeNull();
		expect(blockInterval([])).toBeNull();
	});

	test.each([
		[{ block: 0 }, "[tok/eval] block: expected an integer ≥ 1, got 0."],
		[{ resamples: 10 }, "resamples: expected an integer from 100 to 10000000, got 10."],
		[{ seed: -1 }, "seed: expected an integer from 0"],
	])("%o is refused", (options, message) => {
		expect(() => blockInterval([1, 2, 3], options)).toThrow(message);
	});
});
