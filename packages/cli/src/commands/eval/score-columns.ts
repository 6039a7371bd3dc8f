/** A score in columns: how many answers are exact, where the true share lies, and what part of their tokens is right. */
import type { Score } from "@tok/eval";
import { formatShare } from "../../terminal/format.ts";

export const scoreHead = ["exact", "share", "95 % interval", "tokens right"] as const;

export function scoreCells({ exact, samples, tokenAccuracy, interval }: Score): string[] {
	return [
		`${exact} of ${samples}`,
		formatShare(exact / samples),
		`${Math.round(100 * interval.low)} to ${formatShare(interval.high)}`,
		formatShare(tokenAccuracy),
	];
}
