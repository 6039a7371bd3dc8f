import { describe, expect, test } from "vitest";
import type { Answer } from "./evaluation.ts";
import { scoreAnswers, wilsonInterval } from "./score.ts";

describe("Wilson's interval", () => {
	// With z² = 3.841459: at 0 of n the upper end is z²/(n + z²), at n of n the lower one n/(n + z²); for 15 of 16 the
	// middle is (0.9375 + 0.120046)/1.240091 = 0.852796 and half the width 1.580500 · √(0.00366211 + 0.00375143).
	test.each([
		[0, 10, 0, 0.277533],
		[10, 10, 0.722467, 1],
		[5, 10, 0.236593, 0.763407],
		[15, 16, 0.716713, 0.98888],
		[1, 1, 0.206549, 1],
	])("%d of %d", (successes, trials, low, high) => {
		const interval = wilsonInterval(successes, trials);
		expect(interval.low).toBeCloseTo(low, 5);
		expect(interval.high).toBeCloseTo(high, 5);
	});

	test("nothing says nothing", () => {
		expect(wilsonInterval(0, 0)).toEqual({ low: 0, high: 1 });
	});
});

describe("scores", () => {
	const answer = (tokensRight: number, distance: number): Answer => ({
		expected: "",
		got: "",
		exact: tokensRight === 5,
		tokensRight,
		tokens: 5,
		distance,
	});

	test("exact answers are counted, tokens are a share", () => {
		const answers = [answer(5, 10), answer(4, 20), answer(0, 30)];
		expect(scoreAnswers(answers)).toEqual({
			exact: 1,
			samples: 3,
			tokenAccuracy: 9 / 15,
			interval: wilsonInterval(1, 3),
			distance: 20,
			answers,
		});
	});

	test("of nothing", () => {
		expect(scoreAnswers([])).toEqual({
			exact: 0,
			samples: 0,
			tokenAccuracy: 0,
			interval: { low: 0, high: 1 },
			distance: null,
			answers: [],
		});
	});
});
