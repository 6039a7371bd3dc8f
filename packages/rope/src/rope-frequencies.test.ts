/** Frequencies against transformers' own, the cases it has no golden for, and every way to get the options wrong. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { RopeError } from "./rope-error.ts";
import { ropeFrequencies } from "./rope-frequencies.ts";
import type { RopeOptions, RopeScaling } from "./rope-options.ts";

interface GoldenCase {
	readonly name: string;
	readonly headDim: number;
	readonly theta: number;
	readonly maxPositionEmbeddings: number;
	readonly partialRotaryFactor: number;
	readonly scaling: Readonly<Record<string, unknown>> | null;
	readonly seqLen: number | null;
	readonly invFreq: readonly number[];
	readonly attentionFactor: number;
}

const goldens: { readonly cases: readonly GoldenCase[] } = JSON.parse(
	readFileSync(new URL("../../../goldens/rope.json", import.meta.url), "utf8"),
);

const names: Readonly<Record<string, string>> = {
	rope_type: "type",
	factor: "factor",
	original_max_position_embeddings: "originalMaxPositions",
	beta_fast: "betaFast",
	beta_slow: "betaSlow",
	attention_factor: "attentionFactor",
	mscale: "mscale",
	mscale_all_dim: "mscaleAllDim",
	low_freq_factor: "lowFrequencyFactor",
	high_freq_factor: "highFrequencyFactor",
	short_factor: "shortFactor",
	long_factor: "longFactor",
};

function optionsOf(golden: GoldenCase): RopeOptions {
	const scaling = Object.entries(golden.scaling ?? {}).map(([key, value]) => {
		const name = names[key];
		if (!name) throw new Error(`golden ${golden.name}: no option for ${key}`);
		return [name, value];
	});
	return {
		headDim: golden.headDim,
		base: golden.theta,
		partialRotaryFactor: golden.partialRotaryFactor,
		maxPositions: golden.maxPositionEmbeddings,
		...(golden.scaling && { scaling: Object.fromEntries(scaling) as RopeScaling }),
		...(golden.seqLen && { sequenceLength: golden.seqLen }),
	};
}

function expectClose(actual: ArrayLike<number>, expected: ArrayLike<number>, rtol: number) {
	expect(actual.length).toBe(expected.length);
	for (let i = 0; i < expected.length; i++) {
		const difference = Math.abs((actual[i] as number) - (expected[i] as number));
		expect(difference, `at ${i}`).toBeLessThanOrEqual(rtol * Math.abs(expected[i] as number));
	}
}

describe("transformers' ROPE_INIT_FUNCTIONS", () => {
	test("there are goldens of every scaling", () => {
		const types = new Set(goldens.cases.map(({ scaling }) => scaling?.rope_type));
		expect(types).toEqual(new Set([undefined, "linear", "dynamic", "yarn", "llama3", "longrope"]));
	});

	test.each(goldens.cases)("$name", (golden) => {
		const { inverseFrequencies, rotaryDim, attentionFactor } = ropeFrequencies(optionsOf(golden));
		expectClose(inverseFrequencies, golden.invFreq, 1e-6);
		expect(rotaryDim).toBe(2 * golden.invFreq.length);
		expect(attentionFactor).toBeCloseTo(golden.attentionFactor, 12);
	});
});

describe("beyond the goldens", () => {
	test("the defaults are RoFormer's: base 10000, every dimension, no scaling", () => {
		const { inverseFrequencies, attentionFactor } = ropeFrequencies({ headDim: 4 });
		expectClose(inverseFrequencies, [1, 0.01], 1e-15);
		expect(attentionFactor).toBe(1);
	});

	test("yarn without truncation ends its ramp between two pairs, as gpt-oss wants", () => {
		const scaling = { type: "yarn", factor: 4, originalMaxPositions: 32 } as const;
		const base = 150000;
		// 32 turns in 32 positions come before pair 0; one turn comes at this pair, a little after pair 1.
		const end = (8 * Math.log(32 / (2 * Math.PI))) / Math.log(base);
		const f = base ** (-1 / 8);
		const sharp = ropeFrequencies({ headDim: 16, base, scaling: { ...scaling, truncate: false } });
		const kept = (end - 1) / end;
		expectClose(sharp.inverseFrequencies.slice(0, 2), [1, kept * f + ((1 - kept) * f) / 4], 1e-14);
		const wide = ropeFrequencies({ headDim: 16, base, scaling });
		expectClose(wide.inverseFrequencies.slice(0, 2), [1, 0.5 * f + (0.5 * f) / 4], 1e-14);
		for (const { inverseFrequencies, attentionFactor } of [sharp, wide]) {
			expect(attentionFactor).toBeCloseTo(1 + 0.1 * Math.log(4), 14);
			for (let i = 2; i < 8; i++) expect(inverseFrequencies[i]).toBeCloseTo(base ** (-i / 8) / 4, 14);
		}
	});

	test("yarn whose ramp has no length steps from kept to interpolated", () => {
		const scaling = { type: "yarn", factor: 4, originalMaxPositions: 2 } as const;
		const { inverseFrequencies } = ropeFrequencies({ headDim: 4, scaling });
		expectClose(inverseFrequencies, [1, 0.01 / 4], 1e-14);
	});

	test("yarn, llama3 and longrope take maxPositions for the trained context that is not given", () => {
		const list = [1, 2];
		const scalings: readonly RopeScaling[] = [
			{ type: "yarn", factor: 4 },
			{ type: "llama3", factor: 4, lowFrequencyFactor: 1, highFrequencyFactor: 4 },
			{ type: "longrope", shortFactor: list, longFactor: list, factor: 4 },
		];
		for (const scaling of scalings) {
			const given = { ...scaling, originalMaxPositions: 64 };
			expect(ropeFrequencies({ headDim: 4, maxPositions: 64, scaling })).toEqual(
				ropeFrequencies({ headDim: 4, maxPositions: 64, scaling: given }),
			);
		}
	});

	test("dynamic of a single pair turns by one radian, whatever the base", () => {
		const scaling = { type: "dynamic", factor: 2 } as const;
		for (const sequenceLength of [8, 64])
			expect(
				ropeFrequencies({ headDim: 2, maxPositions: 8, sequenceLength, scaling }).inverseFrequencies,
			).toEqual(Float64Array.of(1));
	});

	test("longrope derives its factor from the two contexts, and none shrinks the attention", () => {
		const scaling = {
			type: "longrope",
			shortFactor: [1],
			longFactor: [2],
			originalMaxPositions: 16,
		} as const;
		const at = (maxPositions: number) => ropeFrequencies({ headDim: 2, maxPositions, scaling });
		expect(at(256).attentionFactor).toBeCloseTo(Math.SQRT2, 14);
		expect(at(8).attentionFactor).toBe(1);
		const given = ropeFrequencies({ headDim: 2, scaling: { ...scaling, attentionFactor: 1.5 } });
		expect(given.attentionFactor).toBe(1.5);
	});
});

describe("wrong options", () => {
	const longrope = { type: "longrope", shortFactor: [1, 1], longFactor: [1, 1], originalMaxPositions: 8 };
	const llama3 = {
		type: "llama3",
		factor: 8,
		lowFrequencyFactor: 1,
		highFrequencyFactor: 4,
		originalMaxPositions: 8,
	};
	const yarn = { type: "yarn", factor: 4, originalMaxPositions: 8 };
	const wrong: readonly (readonly [message: string, options: object])[] = [
		["headDim: expected an integer", { headDim: 4.5 }],
		["headDim: expected an integer", { headDim: 0 }],
		["headDim: expected an integer", { headDim: "64" }],
		["headDim: expected an integer", {}],
		["headDim: expected an integer", { headDim: 7 }],
		["headDim: expected an integer", { headDim: 10, partialRotaryFactor: 0.5 }],
		["headDim: expected an integer", { headDim: 10, partialRotaryFactor: 1.2 }],
		["partialRotaryFactor: expected a finite number above 0, got 0.", { partialRotaryFactor: 0 }],
		["base: expected a finite number above 1, got 1.", { base: 1 }],
		['base: expected a finite number above 1, got "10000".', { base: "10000" }],
		["maxPositions: expected a finite number above 0, got -1.", { maxPositions: -1 }],
		["sequenceLength: expected a finite number above 0, got NaN.", { sequenceLength: Number.NaN }],
		[
			'scaling.type: expected linear, dynamic, yarn, llama3 or longrope, got "ntk".',
			{ scaling: { type: "ntk" } },
		],
		["scaling.type: expected linear", { scaling: "yarn" }],
		["factor: expected a finite number above 0, got undefined.", { scaling: { type: "linear" } }],
		["factor: expected a finite number above 0, got 0.", { scaling: { type: "linear", factor: 0 } }],
		["factor: expected", { maxPositions: 8, scaling: { type: "dynamic" } }],
		[
			"maxPositions: expected a finite number above 0, got undefined.",
			{ scaling: { type: "dynamic", factor: 2 } },
		],
		["factor: expected", { scaling: { ...yarn, factor: undefined } }],
		["originalMaxPositions: expected", { scaling: { type: "yarn", factor: 4 } }],
		["betaSlow: expected a finite number above 0, got -1.", { scaling: { ...yarn, betaSlow: -1 } }],
		["betaFast: expected a finite number above 64, got 32.", { scaling: { ...yarn, betaSlow: 64 } }],
		["mscaleAllDim: expected a finite number above 0, got undefined.", { scaling: { ...yarn, mscale: 1 } }],
		["mscale: expected a finite number above 0, got undefined.", { scaling: { ...yarn, mscaleAllDim: 1 } }],
		["attentionFactor: expected", { scaling: { ...yarn, attentionFactor: 0 } }],
		['truncate: expected true or false, got "no".', { scaling: { ...yarn, truncate: "no" } }],
		["factor: expected", { scaling: { ...llama3, factor: Number.POSITIVE_INFINITY } }],
		["originalMaxPositions: expected", { scaling: { ...llama3, originalMaxPositions: undefined } }],
		["lowFrequencyFactor: expected", { scaling: { ...llama3, lowFrequencyFactor: undefined } }],
		[
			"highFrequencyFactor: expected a finite number above 1, got 1.",
			{ scaling: { ...llama3, highFrequencyFactor: 1 } },
		],
		[
			"originalMaxPositions: expected a finite number above 1, got 1.",
			{ scaling: { ...longrope, originalMaxPositions: 1 } },
		],
		[
			"shortFactor: expected 2 finite numbers above 0, got [1].",
			{ scaling: { ...longrope, shortFactor: [1] } },
		],
		[
			"longFactor: expected 2 finite numbers above 0, got [1,0].",
			{ scaling: { ...longrope, longFactor: [1, 0] } },
		],
		[
			"longFactor: expected 2 finite numbers above 0, got undefined.",
			{ scaling: { ...longrope, longFactor: undefined } },
		],
		["factor: expected a finite number above 0, got undefined.", { scaling: longrope }],
		["attentionFactor: expected", { scaling: { ...longrope, attentionFactor: -1 } }],
	];

	test.each(wrong)("%s (%#)", (message, options) => {
		const complete = message.startsWith("headDim") ? options : { headDim: 4, ...options };
		const call = () => ropeFrequencies(complete as RopeOptions);
		expect(call).toThrow(RopeError);
		expect(call).toThrow(`[tok/rope] ${message}`);
		expect(call).toThrow(" Set it as the model's configuration does.");
	});
});
