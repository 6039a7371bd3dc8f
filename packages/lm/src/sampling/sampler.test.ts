import { TokError } from "@tok/runtime";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Random } from "./random.ts";
import { createSampler } from "./sampler.ts";
import type { Sampling } from "./sampling.ts";

/** The distribution by full sorts, filter after filter; renormalised after each. [vocabulary] */
function naiveDistribution(
	logits: ArrayLike<number>,
	options: Required<Omit<Sampling, "seed">>,
	recent: number[],
): number[] {
	let entries = Array.from(logits, (logit, id) => {
		const penalised = recent.slice(-options.repetitionWindow).includes(id) && options.repetitionWindow > 0;
		const penalty = penalised ? options.repetitionPenalty : 1;
		return { id, score: (logit < 0 ? logit * penalty : logit / penalty) / options.temperature };
	});
	const normalised = () => {
		const highest = Math.max(...entries.map((entry) => entry.score));
		const weights = entries.map((entry) => Math.exp(entry.score - highest));
		const mass = weights.reduce((sum, weight) => sum + weight, 0);
		return weights.map((weight) => weight / mass);
	};
	entries.sort((a, b) => b.score - a.score || a.id - b.id);
	if (options.topK > 0) entries = entries.slice(0, options.topK);
	if (options.topP < 1) {
		const cumulative: number[] = [];
		for (const p of normalised()) cumulative.push((cumulative.at(-1) ?? 0) + p);
		entries = entries.filter((_, index) => index === 0 || (cumulative[index - 1] as number) < options.topP);
	}
	const probabilities = normalised();
	entries = entries.filter(
		(_, index) => (probabilities[index] as number) >= options.minP * (probabilities[0] as number),
	);
	const result = new Array<number>(logits.length).fill(0);
	for (const [index, p] of normalised().entries()) result[entries[index]?.id ?? 0] = p;
	return result;
}

/** Pearson's statistic over outcomes expected at least five times; rarer ones are one outcome together. */
function chiSquare(observed: readonly number[], probabilities: readonly number[], draws: number) {
	let statistic = 0;
	let degrees = -1;
	const rare = { observed: 0, expected: 0 };
	for (const [id, p] of probabilities.entries()) {
		const expected = p * draws;
		const seen = observed[id] ?? 0;
		if (p === 0) expect(seen).toBe(0);
		else if (expected < 5) {
			rare.observed += seen;
			rare.expected += expected;
		} else {
			statistic += (seen - expected) ** 2 / expected;
			degrees++;
		}
	}
	if (rare.expected >= 1) {
		statistic += (rare.observed - rare.expected) ** 2 / rare.expected;
		degrees++;
	}
	return { statistic, degrees };
}

const random = new Random(11);
const gaussian = () =>
	Math.sqrt(-2 * Math.log(1 - random.uniform())) * Math.cos(2 * Math.PI * random.uniform());
const normalLogits = (size: number, spread: number) =>
	Float32Array.from({ length: size }, () => gaussian() * spread);
const off = { temperature: 1, topK: 0, topP: 1, minP: 0, repetitionPenalty: 1, repetitionWindow: 64 };

describe("distributions are those of plain sorting (chi-square, fixed seeds)", () => {
	const cases: [string, Partial<typeof off>][] = [
		["temperature alone", { temperature: 0.7 }],
		["high temperature", { temperature: 3 }],
		["top-k", { topK: 5 }],
		["top-k beyond the vocabulary", { topK: 1000 }],
		["top-p", { topP: 0.8 }],
		["min-p", { minP: 0.1 }],
		["top-p and min-p", { topP: 0.9, minP: 0.05 }],
		["top-k, then top-p of what it left", { topK: 8, topP: 0.7 }],
		[
			"all of them, and the penalty",
			{ temperature: 1.3, topK: 12, topP: 0.9, minP: 0.02, repetitionPenalty: 1.5 },
		],
		["a short window of the penalty", { repetitionPenalty: 3, repetitionWindow: 2 }],
		["no window", { repetitionPenalty: 3, repetitionWindow: 0 }],
	];
	test.each(cases)("%s", (_, changes) => {
		const options = { ...off, ...changes };
		const logits = normalLogits(40, 2);
		const recent = [3, 9, 9, 27, 0];
		const sampler = createSampler({ ...options, seed: 5 }, 40);
		for (const id of recent) sampler.accept(id);
		const draws = 20_000;
		const observed = new Array<number>(40).fill(0);
		for (let draw = 0; draw < draws; draw++) {
			const id = sampler.sample(logits);
			observed[id] = (observed[id] ?? 0) + 1;
		}
		const { statistic, degrees } = chiSquare(observed, naiveDistribution(logits, options, recent), draws);
		// Four standard deviations above the mean of the distribution: far beyond chance.
		expect(statistic).toBeLessThan(degrees + 4 * Math.sqrt(2 * degrees) + 1e-9);
	});
});

test("filters keep exactly the tokens that plain sorting keeps", () => {
	// Quarters make ties, so that the lower id has to win them.
	const logit = fc.integer({ min: -24, max: 24 }).map((quarters) => quarters / 4);
	fc.assert(
		fc.property(
			fc.array(logit, { minLength: 2, maxLength: 60 }),
			fc.record({
				topK: fc.integer({ min: 0, max: 70 }),
				topP: fc.double({ min: 0.05, max: 1, noNaN: true }),
				minP: fc.constantFrom(0, 0.03, 0.4),
			}),
			(logits, filters) => {
				const options = { ...off, ...filters };
				const expected = naiveDistribution(logits, options, []);
				const sampler = createSampler({ ...options, seed: 1 }, logits.length);
				const seen = new Set<number>();
				for (let draw = 0; draw < 200; draw++) seen.add(sampler.sample(Float32Array.from(logits)));
				// A token of probability 0.1 is missed by 200 draws once in 10⁹.
				for (const [id, p] of expected.entries()) if (p === 0 || p > 0.1) expect(seen.has(id)).toBe(p > 0);
			},
		),
		{ numRuns: 150, seed: 3 },
	);
});

describe("edges", () => {
	test("temperature 0 takes the likeliest, the lowest id among equals, after the penalty", () => {
		expect(createSampler({ temperature: 0 }, 4).sample(Float32Array.of(1, 3, 3, 2))).toBe(1);
		const sampler = createSampler({ temperature: 0, repetitionPenalty: 2 }, 4);
		sampler.accept(1);
		expect(sampler.sample(Float32Array.of(1, 3, 2.5, 2))).toBe(2);
		const negative = createSampler({ temperature: 0, repetitionPenalty: 2 }, 2);
		negative.accept(0);
		expect(negative.sample(Float32Array.of(-1, -1.5))).toBe(1);
	});

	test("logits are left as they are", () => {
		const logits = Float32Array.of(1, 2, 3);
		createSampler({ repetitionPenalty: 2, topK: 2 }, 3).sample(logits);
		expect([...logits]).toEqual([1, 2, 3]);
	});

	test.each([{}, { topK: 2 }, { topP: 1 }, { topP: 1, minP: 0.1 }, { temperature: 0 }])(
		"−Infinity is never chosen: %o",
		(options) => {
			const sampler = createSampler({ ...options, seed: 2 }, 4);
			const logits = Float32Array.of(-Infinity, 0, -Infinity, 0.5);
			for (let draw = 0; draw < 200; draw++) expect([1, 3]).toContain(sampler.sample(logits));
		},
	);

	test.each([NaN, Infinity])("%s is an error", (bad) => {
		for (const options of [{}, { temperature: 0 }, { topK: 1 }]) {
			const sampler = createSampler(options, 3);
			expect(() => sampler.sample(Float32Array.of(0, 1, bad))).toThrow(
				/\[tok\/lm\] sampling: expected logits that are numbers/,
			);
		}
	});

	test("a NaN after the largest logit is an error, too", () => {
		expect(() => createSampler({}, 3).sample(Float32Array.of(5, NaN, 1))).toThrow(TokError);
	});

	test("nothing that may be chosen, and a wrong count, are errors", () => {
		const sampler = createSampler({}, 2);
		expect(() => sampler.sample(Float32Array.of(-Infinity, -Infinity))).toThrow(/−Infinity for all/);
		expect(() => sampler.sample(new Float32Array(3))).toThrow(/expected 2 logits, got 3/);
		expect(() => sampler.accept(2)).toThrow(/below 2, got 2/);
	});

	test.each([
		["temperature", -1],
		["temperature", NaN],
		["topK", 1.5],
		["topP", 0],
		["topP", 1.1],
		["minP", -0.1],
		["repetitionPenalty", 0],
		["repetitionWindow", -1],
		["seed", 0.5],
		["seed", 2 ** 53],
	])("%s %d is an error that names it", (name, value) => {
		expect(() => createSampler({ [name]: value }, 10)).toThrow(new RegExp(`sampling: ${name}: expected`));
	});
});

test("a snapshot goes through JSON and goes on bit for bit", () => {
	const options = { repetitionPenalty: 1.3, repetitionWindow: 7, topP: 0.9, seed: -12 };
	const sampler = createSampler(options, 50);
	const step = (target: typeof sampler, logits: Float32Array) => {
		const id = target.sample(logits);
		target.accept(id);
		return id;
	};
	const logits = Array.from({ length: 40 }, () => normalLogits(50, 2));
	for (const row of logits.slice(0, 20)) step(sampler, row);
	const saved = JSON.parse(JSON.stringify(sampler.snapshot()));
	const restored = createSampler({ ...options, seed: 99 }, 50);
	restored.restore(saved);
	expect(restored.snapshot()).toEqual(sampler.snapshot());
	for (const row of logits.slice(20)) expect(step(restored, row)).toBe(step(sampler, row));
	expect(restored.snapshot()).toEqual(sampler.snapshot());
});

test("what is no snapshot is refused", () => {
	const sampler = createSampler({}, 5);
	expect(() => sampler.restore({ random: [0, 0, 0, 0], recent: [] })).toThrow(/four 32-bit words/);
	expect(() => sampler.restore(JSON.parse('{"random":[1,2,3]}'))).toThrow(TokError);
	expect(() => sampler.restore({ random: [1, 2, 3, 4], recent: [5] })).toThrow(/below 5, got 5/);
});
