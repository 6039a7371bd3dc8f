import { expect, test } from "vitest";
import { logSoftmaxAt, topLogprobs } from "./logprobs.ts";

test("ln p of a token, also where e^logit overflows", () => {
	expect(logSoftmaxAt(Float32Array.of(0, 0), 1)).toBeCloseTo(-Math.LN2, 14);
	expect(logSoftmaxAt(Float32Array.of(1000, 1001), 0)).toBeCloseTo(-1 - Math.log(1 + Math.exp(-1)), 12);
	expect(logSoftmaxAt(Float32Array.of(0, -Infinity), 1)).toBe(-Infinity);
	expect(logSoftmaxAt(Float32Array.of(0, NaN), 0)).toBeNaN();
});

test("the best tokens, best first, lowest id first among equals", () => {
	const logits = Float32Array.of(1, 3, -Infinity, 3, 2);
	const top = topLogprobs(logits, 3);
	expect(top.map((entry) => entry.id)).toEqual([1, 3, 4]);
	for (const { id, logprob } of top) expect(logprob).toBeCloseTo(logSoftmaxAt(logits, id), 14);
	expect(topLogprobs(logits, 9).map((entry) => entry.id)).toEqual([1, 3, 4, 0, 2]);
	expect(topLogprobs(logits, 0)).toEqual([]);
});
