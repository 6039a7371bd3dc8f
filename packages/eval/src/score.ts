/** Answers counted, with an interval for the share of exact ones. */
import type { Answer, Interval, Recall } from "./evaluation.ts";

/** The 97.5 % quantile of the normal distribution. */
const z = 1.959963984540054;

/**
 * Wilson's 95 % score interval for a share (Wilson, "Probable Inference, the Law of Succession, and Statistical
 * Inference", 1927). Unlike p ± z·√(p(1−p)/n) it has a width at 0 and at 1, where memories mostly are. From nothing,
 * the whole range.
 */
export function wilsonInterval(successes: number, trials: number): Interval {
	if (trials === 0) return { low: 0, high: 1 };
	const share = successes / trials;
	const scale = 1 + z ** 2 / trials;
	const middle = (share + z ** 2 / (2 * trials)) / scale;
	const half = (z / scale) * Math.sqrt((share * (1 - share)) / trials + z ** 2 / (4 * trials ** 2));
	// At the ends the bound is the share itself; rounding would miss it.
	return {
		low: successes === 0 ? 0 : middle - half,
		high: successes === trials ? 1 : middle + half,
	};
}

export function scoreAnswers(answers: readonly Answer[]): Recall {
	const exact = answers.filter((answer) => answer.exact).length;
	const tokens = sum(answers, (answer) => answer.tokens);
	return {
		exact,
		samples: answers.length,
		tokenAccuracy: tokens === 0 ? 0 : sum(answers, (answer) => answer.tokensRight) / tokens,
		interval: wilsonInterval(exact, answers.length),
		distance: answers.length === 0 ? null : sum(answers, (answer) => answer.distance) / answers.length,
		answers,
	};
}

function sum<T>(values: readonly T[], of: (value: T) => number): number {
	return values.reduce((total, value) => total + of(value), 0);
}
