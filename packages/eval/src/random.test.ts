import { expect, test } from "vitest";
import { Random } from "./random.ts";

test("a permutation holds every integer once, in another order for another seed", () => {
	const order = (seed: number) => Array.from(new Random(seed).permutation(50));
	expect(order(1).toSorted((a, b) => a - b)).toEqual(Array.from({ length: 50 }, (_, index) => index));
	expect(order(1)).toEqual(order(1));
	expect(order(2)).not.toEqual(order(1));
});

test("codes have five digits, none twice", () => {
	const random = new Random(1);
	const used = new Set<string>();
	const codes = Array.from({ length: 2000 }, () => random.code(used));
	expect(codes.every((code) => /^[1-9]\d{4}$/.test(code))).toBe(true);
	expect(new Set(codes).size).toBe(2000);
});

test("neighbouring seeds begin far apart", () => {
	const first = Array.from({ length: 400 }, (_, seed) => new Random(seed).below(1_000_000));
	const close = first.filter((draw, seed) => Math.abs(draw - (first[seed + 1] ?? draw + 1e6)) < 10_000);
	// 8 are to be expected.
	expect(close.length).toBeLessThan(20);
});

test("draws below a count reach every value", () => {
	const random = new Random(9);
	const draws = Array.from({ length: 200 }, () => random.below(7));
	expect([...new Set(draws)].sort()).toEqual([0, 1, 2, 3, 4, 5, 6]);
});
