import { expect, test } from "vitest";
import { Random } from "./random.ts";

test("the first outputs are those of the authors' xoshiro128starstar.c from the state 1, 2, 3, 4", () => {
	const random = new Random([1, 2, 3, 4]);
	const outputs = Array.from({ length: 10 }, () => random.next());
	expect(outputs).toEqual([
		11520, 0, 5927040, 70819200, 2031721883, 1637235492, 1287239034, 3734860849, 3729100597, 4258142804,
	]);
});

test("seeding is splitmix64: its first outputs for 1234567", () => {
	const words = new Random(1234567).state.map(BigInt);
	expect((words[0] as bigint) | ((words[1] as bigint) << 32n)).toBe(6457827717110365317n);
	expect((words[2] as bigint) | ((words[3] as bigint) << 32n)).toBe(3203168211198807973n);
});

test("every safe integer is a seed of its own", () => {
	const seeds = [0, 1, -1, 2 ** 32, Number.MAX_SAFE_INTEGER, Number.MIN_SAFE_INTEGER];
	expect(new Set(seeds.map((seed) => new Random(seed).state.join())).size).toBe(seeds.length);
});

test("a saved state goes on with the same numbers, uniform in [0, 1)", () => {
	const random = new Random(7);
	for (let count = 0; count < 5; count++) random.uniform();
	const again = new Random(random.state);
	let sum = 0;
	for (let count = 0; count < 10_000; count++) {
		const value = random.uniform();
		expect(again.uniform()).toBe(value);
		if (value < 0 || value >= 1) expect.fail(`${value} is outside [0, 1)`);
		sum += value;
	}
	expect(sum / 10_000).toBeCloseTo(0.5, 2);
});
