/** Angles against exact integer arithmetic, and the contract of the arrays they are written to. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { type RopeAngles, ropeAngles } from "./rope-angles.ts";
import { RopeError } from "./rope-error.ts";
import { ropeFrequencies } from "./rope-frequencies.ts";

const frequencies = ropeFrequencies({ headDim: 64, base: 500000 });
const half = frequencies.rotaryDim / 2;

const float64 = (positions: number): RopeAngles<Float64Array> => ({
	cos: new Float64Array(positions * half),
	sin: new Float64Array(positions * half),
});

/** Binary digits behind the point of the fixed-point numbers below. */
const digits = 256n;

/** The double, exactly. */
function fixed(value: number): bigint {
	let scaled = value;
	let exponent = 0n;
	while (!Number.isInteger(scaled)) {
		scaled *= 2;
		exponent++;
	}
	return (BigInt(scaled) << digits) >> exponent;
}

function arccot(x: bigint): bigint {
	let power = (1n << digits) / x;
	let sum = power;
	for (let n = 3n; power !== 0n; n += 2n) {
		power /= -x * x;
		sum += power / n;
	}
	return sum;
}

// Machin's formula.
const tau = 8n * (4n * arccot(5n) - arccot(239n));

/** position × frequency, exactly, then reduced to [0, 2π). */
function exactAngle(position: number, frequency: number): number {
	const product = (fixed(position) * fixed(frequency)) >> digits;
	const turned = ((product % tau) + tau) % tau;
	return Number(turned >> (digits - 60n)) / 2 ** 60;
}

describe("accuracy", () => {
	test("the exact reduction knows π and a quarter turn", () => {
		expect(Number(tau >> (digits - 50n)) / 2 ** 50).toBe(2 * Math.PI);
		expect(exactAngle(-1, 0.5)).toBeCloseTo(2 * Math.PI - 0.5, 15);
	});

	test.each([
		[1, 1e-15],
		[4095, 1e-12],
		[1_000_003, 1.2e-10],
		[999_999_999, 6e-8],
		[1e9, 6e-8],
		[-1e9, 6e-8],
		[1e9 + 0.25, 6e-8],
	])("at position %d the angles are within %d radians", (position, bound) => {
		const { cos, sin } = ropeAngles(frequencies, [position], float64(1));
		frequencies.inverseFrequencies.forEach((frequency, i) => {
			const exact = exactAngle(position, frequency);
			expect(Math.abs((cos[i] as number) - Math.cos(exact))).toBeLessThanOrEqual(bound);
			expect(Math.abs((sin[i] as number) - Math.sin(exact))).toBeLessThanOrEqual(bound);
		});
	});

	test("the fastest pair is exact at every integer up to 2⁵³", () => {
		const position = Number.MAX_SAFE_INTEGER;
		const { cos } = ropeAngles(frequencies, [position], float64(1));
		expect(cos[0]).toBeCloseTo(Math.cos(exactAngle(position, 1)), 14);
	});
});

describe("layout", () => {
	test("row p holds position p's pairs", () => {
		fc.assert(
			fc.property(
				fc.array(fc.double({ min: -1e9, max: 1e9, noNaN: true }), { maxLength: 5 }),
				(positions) => {
					const { cos, sin } = ropeAngles(frequencies, positions, float64(positions.length));
					positions.forEach((position, p) => {
						const row = ropeAngles(frequencies, [position], float64(1));
						expect(cos.subarray(p * half, (p + 1) * half)).toEqual(row.cos);
						expect(sin.subarray(p * half, (p + 1) * half)).toEqual(row.sin);
					});
				},
			),
		);
	});

	test("by default the arrays are float32, rounded once from float64", () => {
		const positions = [0, 1, 1e9];
		const { cos, sin } = ropeAngles(frequencies, positions);
		const wide = ropeAngles(frequencies, positions, float64(3));
		expect(cos).toEqual(Float32Array.from(wide.cos));
		expect(sin).toEqual(Float32Array.from(wide.sin));
	});

	test("cos and sin carry the attention factor", () => {
		const scaled = { ...frequencies, attentionFactor: 1.25 };
		const plain = ropeAngles(frequencies, [7], float64(1));
		const { cos, sin } = ropeAngles(scaled, [7], float64(1));
		expect(cos).toEqual(plain.cos.map((value) => 1.25 * value));
		expect(sin).toEqual(plain.sin.map((value) => 1.25 * value));
	});

	test("typed arrays of positions are taken, and no positions give no angles", () => {
		expect(ropeAngles(frequencies, Int32Array.of(3))).toEqual(ropeAngles(frequencies, [3]));
		expect(ropeAngles(frequencies, []).cos.length).toBe(0);
	});
});

describe("out", () => {
	test("is filled, returned itself, and left alone behind the last position", () => {
		const cos = new Float32Array(3 * half).fill(9);
		const sin = new Float32Array(3 * half).fill(9);
		const out = { cos, sin };
		const result = ropeAngles(frequencies, [5, 6], out);
		expect(result).toBe(out);
		expect(result.cos).toBe(cos);
		expect(result.sin).toBe(sin);
		const expected = ropeAngles(frequencies, [5, 6]);
		expect(cos.subarray(0, 2 * half)).toEqual(expected.cos);
		expect(sin.subarray(0, 2 * half)).toEqual(expected.sin);
		expect(new Set([...cos.subarray(2 * half), ...sin.subarray(2 * half)])).toEqual(new Set([9]));
	});

	test("too short is an error, whichever array it is", () => {
		const long = new Float32Array(2 * half);
		const short = new Float32Array(2 * half - 1);
		for (const out of [
			{ cos: long, sin: short },
			{ cos: short, sin: long },
		]) {
			const call = () => ropeAngles(frequencies, [0, 1], out);
			expect(call).toThrow(RopeError);
			expect(call).toThrow(
				"[tok/rope] out: expected 64 values or more, got 63. Pass larger arrays or fewer positions.",
			);
		}
		expect(new Set([...long, ...short])).toEqual(new Set([0]));
	});

	test.each([Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY])(
		"is untouched when a position is %d",
		(position) => {
			const out = float64(2);
			const call = () => ropeAngles(frequencies, [1, position], out);
			expect(call).toThrow(RopeError);
			expect(call).toThrow(`[tok/rope] position: expected a finite number, got ${position}.`);
			expect(new Set([...out.cos, ...out.sin])).toEqual(new Set([0]));
		},
	);
});
