import fc from "fast-check";
import { expect, test } from "vitest";
import { NgramLookup } from "./ngram-lookup.ts";

function lookup(ids: readonly number[], capacity = 4096): NgramLookup {
	const made = new NgramLookup(capacity);
	for (const id of ids) made.push(id);
	return made;
}

test("S29: after the latest earlier occurrence of the last three tokens comes what followed it", () => {
	expect(lookup([1, 2, 3, 4, 5, 1, 2, 3, 6, 7, 8, 1, 2, 3]).guess(4)).toEqual([6, 7, 8, 1]);
	expect(lookup([1, 2, 3, 4, 9, 2, 3]).guess(4)).toEqual([]);
	expect(lookup([1, 2, 3, 4, 1, 2, 3]).guess(0)).toEqual([]);
	expect(lookup([]).guess(4)).toEqual([]);
});

test("S29: a repetition shorter than what is asked for goes on", () => {
	expect(lookup([7, 7, 7, 7]).guess(5)).toEqual([7, 7, 7, 7, 7]);
	expect(lookup([9, 1, 2, 1, 2, 1]).guess(5)).toEqual([2, 1, 2, 1, 2]);
});

test("S29: it is what a search through the last ids finds", () => {
	const ids = fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 120 });
	fc.assert(
		fc.property(ids, fc.integer({ min: 3, max: 40 }), fc.nat(6), (stream, capacity, count) => {
			const remembered = stream.slice(-capacity);
			expect(lookup(stream, capacity).guess(count)).toEqual(search(remembered, count));
		}),
		{ numRuns: 2000 },
	);
});

function search(ids: readonly number[], count: number): number[] {
	for (let match = ids.length - 1; match >= 3; match--) {
		if (![1, 2, 3].every((n) => ids[match - n] === ids[ids.length - n])) continue;
		const all = [...ids];
		for (let i = 0; i < count; i++) all.push(all[match + i] as number);
		return all.slice(ids.length);
	}
	return [];
}

test("S29: ids are compared, not their hashes", () => {
	// 0x9e3779b1 · 2^31 is 2^31 modulo 2^32, which the xor with the next id undoes: both pairs mix to the same.
	const far = 2 ** 31;
	const made = lookup([5, 6, 8, 9, 5 + far, (6 ^ far) >>> 0, 8]);
	expect(made.guess(1)).toEqual([]);
});
