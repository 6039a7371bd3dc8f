/** Arithmetic on symbolic dimensions, by its laws: evaluated at any lengths it is arithmetic on numbers. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
	addDims,
	broadcastShapes,
	divideDims,
	divideShapes,
	multiplyDims,
	normaliseDim,
	subtractDims,
	termsOf,
} from "./dimension.ts";
import type { Dim } from "./types.ts";

const symbols = ["batch", "slots", "tokens"] as const;

const dims: fc.Arbitrary<Dim> = fc
	.array(fc.tuple(fc.integer({ min: 0, max: 9 }), fc.subarray([...symbols])), { maxLength: 4 })
	.map((terms) =>
		terms.map(([factor, names]) => names.reduce<Dim>(multiplyDims, factor)).reduce<Dim>(addDims, 0),
	);
const lengths = fc.record({
	batch: fc.integer({ min: 1, max: 99 }),
	slots: fc.integer({ min: 1, max: 99 }),
	tokens: fc.integer({ min: 1, max: 99 }),
});

function evaluate(dim: Dim, at: Readonly<Record<string, number>>): number {
	return termsOf(dim).reduce(
		(sum, { coefficient, symbols }) =>
			sum + symbols.reduce((product, name) => product * (at[name] ?? Number.NaN), coefficient),
		0,
	);
}

test("sums, differences and products evaluate to those of the values", () => {
	fc.assert(
		fc.property(dims, dims, lengths, (a, b, at) => {
			const [x, y] = [evaluate(a, at), evaluate(b, at)];
			expect(evaluate(addDims(a, b), at)).toBe(x + y);
			expect(evaluate(subtractDims(a, b), at)).toBe(x - y);
			expect(evaluate(multiplyDims(a, b), at)).toBe(x * y);
		}),
	);
});

test("equal dimensions are equal strings, however they were put together", () => {
	fc.assert(
		fc.property(dims, dims, dims, (a, b, c) => {
			expect(addDims(a, b)).toBe(addDims(b, a));
			expect(multiplyDims(a, b)).toBe(multiplyDims(b, a));
			expect(addDims(addDims(a, b), c)).toBe(addDims(a, addDims(b, c)));
			expect(multiplyDims(a, addDims(b, c))).toBe(addDims(multiplyDims(a, b), multiplyDims(a, c)));
			expect(subtractDims(addDims(a, b), b)).toBe(a);
			if (typeof a === "string") expect(normaliseDim(a)).toBe(a);
		}),
	);
});

test("division undoes multiplication by a product, and by anything of a shape that cancels", () => {
	const product = fc
		.tuple(fc.integer({ min: 1, max: 9 }), fc.subarray([...symbols]))
		.map(([n, names]) => names.reduce<Dim>(multiplyDims, n));
	fc.assert(
		fc.property(dims, product, dims, (a, b, c) => {
			expect(divideDims(multiplyDims(a, b), b)).toBe(a);
			if (c !== 0) expect(divideShapes([a, c, b], [b, c])).toBe(a);
		}),
	);
	expect(divideDims("tokens", 2)).toBeUndefined();
	expect(divideDims(7, 2)).toBeUndefined();
	expect(divideDims("tokens", "slots")).toBeUndefined();
	expect(divideDims("tokens+1", "tokens")).toBeUndefined();
	expect(divideDims(4, 0)).toBeUndefined();
});

test("the normal form is the one a reader expects", () => {
	expect(addDims("tokens", "slots")).toBe("slots+tokens");
	expect(addDims(addDims("slots", 4), "slots")).toBe("2*slots+4");
	expect(subtractDims("tokens", "slots")).toBe("tokens-slots");
	expect(subtractDims("tokens", 1)).toBe("tokens-1");
	expect(normaliseDim("tokens*batch+ 1".replace(" ", ""))).toBe("batch*tokens+1");
	expect(subtractDims("tokens", "tokens")).toBe(0);
});

test.each([["batch size"], [""], ["2tokens"], ["a+"], ["a**b"], [-1], [1.5], [Number.NaN], ["a/b"]])(
	"%j is no dimension",
	(dim) => {
		expect(() => normaliseDim(dim)).toThrow(/^\[tok\/graph\] expected a dimension/);
	},
);

test("shapes broadcast by numpy's rule, a symbol with itself and with 1", () => {
	expect(broadcastShapes(["batch", "tokens", 1], ["tokens", 4])).toEqual(["batch", "tokens", 4]);
	expect(broadcastShapes([], [3], [1, 1])).toEqual([1, 3]);
	expect(broadcastShapes([0], [1])).toEqual([0]);
	expect(broadcastShapes(["tokens"], [4])).toBeUndefined();
	expect(broadcastShapes(["tokens"], ["slots"])).toBeUndefined();
	expect(broadcastShapes([2], [3])).toBeUndefined();
});
