import type { TokenAttention } from "@tok/lm";
import { expect, test } from "vitest";
import { kinds, kindsOf, meanShares, sharesOf } from "./attention.ts";

/** One layer of two heads: a sink, what was merged of two tokens, two of a window, and the token itself. */
const attention: TokenAttention = {
	token: 9,
	layers: 1,
	heads: 2,
	entries: [
		{ segment: 0, slot: 0, start: 0, end: 1 },
		{ segment: 1, slot: 0, start: 1, end: 3 },
		{ segment: 3, slot: 6, start: 7, end: 8 },
		{ segment: 3, slot: 7, start: 8, end: 9 },
		{ segment: 3, slot: 0, start: 9, end: 10 },
	],
	weights: Float32Array.of(0.5, 0, 0.125, 0.125, 0, 0, 0.25, 0, 0.25, 0.25),
	recalled: Float32Array.of(0.25, 0),
	learned: Float32Array.of(0, 0.25),
};
const segments = ["sink", "compressive", "memory", "rolling"];

test("each entry has a kind, the token that looks its own", () => {
	const labels = [...kindsOf(attention, segments)].map((kind) => kinds[kind]?.label);
	expect(labels).toEqual(["sinks", "merged", "window", "window", "itself"]);
});

test("what fell on each kind is its entries' sum, with what fell on no entry", () => {
	const shares = sharesOf(attention, kindsOf(attention, segments));
	expect([...shares]).toEqual([0.5, 0, 0.25, 0.25, 0, 0, 0, 0.25, 0, 0.25, 0.25, 0.25]);
	expect(meanShares(shares, 0, 2)).toEqual([0.25, 0.125, 0.125, 0.25, 0.125, 0.125]);
	expect(meanShares(shares, 1, 1)).toEqual([0, 0.25, 0, 0.25, 0.25, 0.25]);
});
