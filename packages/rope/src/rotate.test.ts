/** Rotation against numpy's, and the properties that make it a position embedding. */
import { readFileSync } from "node:fs";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { ropeAngles } from "./rope-angles.ts";
import { RopeError } from "./rope-error.ts";
import { ropeFrequencies } from "./rope-frequencies.ts";
import { type Pairing, type Rotation, rotate, rotateRows, unrotate } from "./rotate.ts";

interface GoldenRotation {
	readonly headDim: number;
	readonly theta: number;
	readonly position: number;
	readonly input: readonly number[];
	readonly halfSplit: readonly number[];
	readonly interleaved: readonly number[];
}

const goldens: { readonly rotations: readonly GoldenRotation[] } = JSON.parse(
	readFileSync(new URL("../../../goldens/rope.json", import.meta.url), "utf8"),
);

const dot = (a: ArrayLike<number>, b: ArrayLike<number>) =>
	Array.from(a).reduce((sum, value, i) => sum + value * (b[i] as number), 0);
const norm = (a: ArrayLike<number>) => Math.sqrt(dot(a, a));

function expectNear(actual: ArrayLike<number>, expected: ArrayLike<number>, atol: number) {
	expect(actual.length).toBe(expected.length);
	for (let i = 0; i < expected.length; i++)
		expect(Math.abs((actual[i] as number) - (expected[i] as number)), `at ${i}`).toBeLessThanOrEqual(atol);
}

describe("numpy in float64", () => {
	test("the goldens reach position 10⁹", () => {
		expect(Math.max(...goldens.rotations.map(({ position }) => position))).toBe(1e9);
	});

	test.each(goldens.rotations)("headDim $headDim at position $position", (golden) => {
		const { headDim, theta, position, input } = golden;
		const frequencies = ropeFrequencies({ headDim, base: theta });
		const rtol = position === 1e9 ? 1e-6 : 1e-9;
		for (const pairing of ["half", "interleaved"] as const) {
			const expected = pairing === "half" ? golden.halfSplit : golden.interleaved;
			const actual = rotate(input, { frequencies, position, pairing });
			expect(actual.length).toBe(expected.length);
			expected.forEach((value, i) => {
				expect(Math.abs((actual[i] as number) - value)).toBeLessThanOrEqual(rtol * Math.abs(value));
			});
		}
	});
});

/** Head of 10, of which 6 or 8 are rotated, with or without an attention factor. */
const anyFrequencies = fc.constantFrom(
	ropeFrequencies({ headDim: 10, partialRotaryFactor: 0.6 }),
	ropeFrequencies({ headDim: 10, partialRotaryFactor: 0.8, base: 500000 }),
	ropeFrequencies({
		headDim: 10,
		partialRotaryFactor: 0.8,
		scaling: { type: "yarn", factor: 8, originalMaxPositions: 64 },
	}),
);
const anyPairing = fc.constantFrom<Pairing>("half", "interleaved");
const anyHead = fc.array(fc.double({ min: -100, max: 100, noNaN: true }), { minLength: 10, maxLength: 10 });
const anyPosition = fc.oneof(
	fc.integer({ min: -1_000_000, max: 1_000_000 }),
	fc.double({ min: -1e6, max: 1e6, noNaN: true }),
);

describe("properties", () => {
	test("unrotate undoes rotate, at any position", () => {
		const anyFarPosition = fc.oneof(
			anyPosition,
			fc.double({ noNaN: true, noDefaultInfinity: true, min: -1e15, max: 1e15 }),
		);
		fc.assert(
			fc.property(
				anyHead,
				anyFrequencies,
				anyFarPosition,
				anyPairing,
				(head, frequencies, position, pairing) => {
					const rotation: Rotation = { frequencies, position, pairing };
					expectNear(unrotate(rotate(head, rotation), rotation), head, 1e-14 * (1 + norm(head)));
					expectNear(rotate(unrotate(head, rotation), rotation), head, 1e-14 * (1 + norm(head)));
				},
			),
		);
	});

	test("the score of query and key depends on their distance only", () => {
		fc.assert(
			fc.property(
				anyHead,
				anyHead,
				anyFrequencies,
				anyPairing,
				fc.integer({ min: -1_000_000, max: 1_000_000 }),
				fc.integer({ min: -4096, max: 4096 }),
				(q, k, frequencies, pairing, position, distance) => {
					const score = (at: number) =>
						dot(
							rotate(q, { frequencies, position: at, pairing }),
							rotate(k, { frequencies, position: at + distance, pairing }),
						);
					expect(Math.abs(score(position) - score(0))).toBeLessThanOrEqual(1e-9 * (1 + norm(q) * norm(k)));
				},
			),
		);
	});

	test("rotated dimensions keep their length but for the attention factor, the others stay as they are", () => {
		fc.assert(
			fc.property(
				anyHead,
				anyFrequencies,
				anyPosition,
				anyPairing,
				(head, frequencies, position, pairing) => {
					const { rotaryDim, attentionFactor } = frequencies;
					const rotated = rotate(head, { frequencies, position, pairing });
					expect(norm(rotated.subarray(0, rotaryDim))).toBeCloseTo(
						attentionFactor * norm(head.slice(0, rotaryDim)),
						9,
					);
					expect(Array.from(rotated.subarray(rotaryDim))).toEqual(head.slice(rotaryDim));
				},
			),
		);
	});

	test("two rotations add up to one", () => {
		const frequencies = ropeFrequencies({ headDim: 10 });
		fc.assert(
			fc.property(anyHead, anyPairing, fc.nat(1_000_000), fc.nat(1_000_000), (head, pairing, p1, p2) => {
				const once = rotate(head, { frequencies, position: p1 + p2, pairing });
				const first = rotate(head, { frequencies, position: p1, pairing });
				expectNear(rotate(first, { frequencies, position: p2, pairing }), once, 1e-9 * (1 + norm(head)));
			}),
		);
	});

	test("the pairings differ by the order of the dimensions alone", () => {
		fc.assert(
			fc.property(anyHead, anyFrequencies, anyPosition, (head, frequencies, position) => {
				const half = frequencies.rotaryDim / 2;
				const interleave = (from: ArrayLike<number>) =>
					Array.from(from, (value, i) =>
						i < 2 * half ? (from[i % 2 ? half + (i - 1) / 2 : i / 2] as number) : value,
					);
				expect(
					Array.from(rotate(interleave(head), { frequencies, position, pairing: "interleaved" })),
				).toEqual(interleave(rotate(head, { frequencies, position, pairing: "half" })));
			}),
		);
	});

	test("ropeAngles gives the cos and sin that rotate uses", () => {
		fc.assert(
			fc.property(anyFrequencies, anyPosition, (frequencies, position) => {
				const half = frequencies.rotaryDim / 2;
				const out = { cos: new Float64Array(half), sin: new Float64Array(half) };
				ropeAngles(frequencies, [position], out);
				const unit = [...new Array(half).fill(1), ...new Array(half).fill(0)];
				// Near by 0, which unlike equality takes −0 for 0.
				expectNear(rotate(unit, { frequencies, position, pairing: "half" }), [...out.cos, ...out.sin], 0);
			}),
		);
	});
});

test("the input is left alone, and float32 heads are taken too", () => {
	const rotation: Rotation = { frequencies: ropeFrequencies({ headDim: 2 }), position: 3, pairing: "half" };
	const head = Float32Array.of(1, 2);
	const rotated = rotate(head, rotation);
	expect(head).toEqual(Float32Array.of(1, 2));
	expect(rotated).toEqual(Float64Array.of(Math.cos(3) - 2 * Math.sin(3), Math.sin(3) + 2 * Math.cos(3)));
});

describe("wrong arguments", () => {
	const rotation: Rotation = { frequencies: ropeFrequencies({ headDim: 4 }), position: 1, pairing: "half" };
	const head = [1, 2, 3, 4];
	test.each([
		['pairing: expected "half" or "interleaved", got undefined.', head, { pairing: undefined }],
		['pairing: expected "half" or "interleaved", got "neox".', head, { pairing: "neox" }],
		["position: expected a finite number, got NaN.", head, { position: Number.NaN }],
		['position: expected a finite number, got "1".', head, { position: "1" }],
		["vector: expected 4 numbers or more, got 3.", [1, 2, 3], {}],
	])("%s", (message, vector, change) => {
		for (const turn of [rotate, unrotate]) {
			const call = () => turn(vector, { ...rotation, ...change } as Rotation);
			expect(call).toThrow(RopeError);
			expect(call).toThrow(`[tok/rope] ${message}`);
		}
	});
});

test("rows are turned in place, each as alone, and in float32 to its rounding", () => {
	const frequencies = ropeFrequencies({ headDim: 10, partialRotaryFactor: 0.8 });
	const positions = [3, -7, 1e6];
	const rows = Array.from({ length: 3 }, (_, row) => Array.from({ length: 10 }, (_, i) => row + i / 8 - 1));
	for (const pairing of ["half", "interleaved"] as const) {
		const expected = rows.flatMap((vector, row) => [
			...rotate(vector, { frequencies, position: positions[row] as number, pairing }),
		]);
		const out = { cos: new Float64Array(12), sin: new Float64Array(12) };
		const angles = ropeAngles(frequencies, positions, out);
		const exact = Float64Array.from(rows.flat());
		rotateRows(exact, angles, 3, pairing);
		expectNear(exact, expected, 0);
		const rounded = Float32Array.from(rows.flat());
		rotateRows(rounded, angles, 3, pairing);
		expectNear(rounded, expected, 4e-7);
	}
});
