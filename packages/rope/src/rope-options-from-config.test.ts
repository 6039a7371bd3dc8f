/** Options from configurations as they are published: real files of the goldens and the layouts they do not show. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { RopeError } from "./rope-error.ts";
import { ropeFrequencies } from "./rope-frequencies.ts";
import { ropeOptionsFromConfig } from "./rope-options-from-config.ts";

const tiny = (architecture: string) =>
	JSON.parse(
		readFileSync(new URL(`../../../goldens/lm-tiny/${architecture}/config.json`, import.meta.url), "utf8"),
	);

describe("golden configurations", () => {
	test("gpt-oss: yarn without truncation", () => {
		const options = ropeOptionsFromConfig(tiny("gpt-oss"));
		expect(options).toStrictEqual({
			headDim: 16,
			base: 150000,
			maxPositions: 128,
			scaling: {
				type: "yarn",
				factor: 4,
				originalMaxPositions: 32,
				betaFast: 32,
				betaSlow: 1,
				truncate: false,
			},
		});
		expect(ropeFrequencies(options).attentionFactor).toBeCloseTo(1 + 0.1 * Math.log(4), 14);
	});

	test("gemma3: its sliding layers have a base of their own", () => {
		const config = tiny("gemma3");
		expect(ropeOptionsFromConfig(config)).toStrictEqual({ headDim: 24, base: 1000000, maxPositions: 128 });
		expect(ropeOptionsFromConfig(config, "full_attention")).toEqual(ropeOptionsFromConfig(config));
		expect(ropeOptionsFromConfig(config, "sliding_attention")).toStrictEqual({
			headDim: 24,
			base: 10000,
			maxPositions: 128,
		});
	});

	test("llama-rope3-tied: llama3", () => {
		expect(ropeOptionsFromConfig(tiny("llama-rope3-tied")).scaling?.type).toBe("llama3");
	});

	test.each(["llama", "mistral", "olmo2", "phi3", "qwen2", "qwen3", "smollm3"])(
		"%s: no scaling",
		(architecture) => {
			const config = tiny(architecture);
			const { headDim, base, scaling } = ropeOptionsFromConfig(config, "full_attention");
			expect(headDim).toBe(config.head_dim ?? config.hidden_size / config.num_attention_heads);
			expect(base).toBe(config.rope_theta);
			expect(scaling).toBeUndefined();
		},
	);
});

const llama = { hidden_size: 256, num_attention_heads: 4, rope_theta: 500000, max_position_embeddings: 8192 };

describe("transformers up to version 4", () => {
	test("the width of a head: qk_rope_head_dim, head_dim, or what hidden_size leaves", () => {
		expect(ropeOptionsFromConfig(llama).headDim).toBe(64);
		expect(ropeOptionsFromConfig({ ...llama, head_dim: null }).headDim).toBe(64);
		expect(ropeOptionsFromConfig({ ...llama, head_dim: 128 }).headDim).toBe(128);
		expect(ropeOptionsFromConfig({ ...llama, head_dim: 128, qk_rope_head_dim: 32 }).headDim).toBe(32);
	});

	test("partial_rotary_factor and the type's older key, `type`", () => {
		const config = { ...llama, partial_rotary_factor: 0.5, rope_scaling: { type: "linear", factor: 4 } };
		expect(ropeOptionsFromConfig(config)).toStrictEqual({
			headDim: 64,
			base: 500000,
			partialRotaryFactor: 0.5,
			maxPositions: 8192,
			scaling: { type: "linear", factor: 4 },
		});
	});

	test("llama3", () => {
		const rope_scaling = {
			rope_type: "llama3",
			factor: 8,
			low_freq_factor: 1,
			high_freq_factor: 4,
			original_max_position_embeddings: 4096,
		};
		expect(ropeOptionsFromConfig({ ...llama, rope_scaling }).scaling).toStrictEqual({
			type: "llama3",
			factor: 8,
			lowFrequencyFactor: 1,
			highFrequencyFactor: 4,
			originalMaxPositions: 4096,
		});
	});

	test("dynamic", () => {
		const rope_scaling = { type: "dynamic", factor: 2 };
		expect(ropeOptionsFromConfig({ ...llama, rope_scaling }).scaling).toStrictEqual(rope_scaling);
	});

	test("DeepSeek's two mscales count together or not at all", () => {
		const yarn = { type: "yarn", factor: 40, original_max_position_embeddings: 4096 };
		const scalingOf = (mscales: object) =>
			ropeOptionsFromConfig({ ...llama, rope_scaling: { ...yarn, ...mscales } }).scaling;
		const plain = { type: "yarn", factor: 40, originalMaxPositions: 4096 };
		expect(scalingOf({ mscale: 0.8, mscale_all_dim: 0.5 })).toStrictEqual({
			...plain,
			mscale: 0.8,
			mscaleAllDim: 0.5,
		});
		expect(scalingOf({ mscale: 1, mscale_all_dim: 0 })).toStrictEqual(plain);
		expect(scalingOf({ mscale_all_dim: 1 })).toStrictEqual(plain);
	});

	test.each(["longrope", "su"])("Phi-3's %s with the trained context beside the scaling", (type) => {
		const factors = new Array(32).fill(1.5);
		const options = ropeOptionsFromConfig({
			...llama,
			max_position_embeddings: 131072,
			original_max_position_embeddings: 4096,
			rope_scaling: { type, short_factor: factors, long_factor: factors },
		});
		expect(options.scaling).toStrictEqual({
			type: "longrope",
			factor: 32,
			originalMaxPositions: 4096,
			shortFactor: factors,
			longFactor: factors,
		});
		expect(ropeFrequencies(options).attentionFactor).toBeCloseTo(Math.sqrt(1 + 5 / 12), 14);
	});
});

describe("transformers version 5", () => {
	const { rope_theta, ...rest } = llama;

	test("everything in rope_parameters", () => {
		expect(
			ropeOptionsFromConfig({
				...rest,
				rope_parameters: {
					rope_type: "yarn",
					rope_theta,
					partial_rotary_factor: 0.25,
					factor: 2,
					attention_factor: 1.5,
				},
			}),
		).toStrictEqual({
			headDim: 64,
			base: 500000,
			partialRotaryFactor: 0.25,
			maxPositions: 8192,
			scaling: { type: "yarn", factor: 2, attentionFactor: 1.5 },
		});
		expect(ropeOptionsFromConfig({ ...rest, rope_parameters: { rope_theta } }, "full_attention").base).toBe(
			500000,
		);
	});

	const perLayer = {
		...rest,
		rope_parameters: {
			full_attention: { rope_type: "linear", rope_theta: 1e6, factor: 8 },
			sliding_attention: { rope_type: "default", rope_theta: 1e4 },
		},
	};

	test("one record per layer type", () => {
		expect(ropeOptionsFromConfig(perLayer, "full_attention")).toStrictEqual({
			headDim: 64,
			base: 1e6,
			maxPositions: 8192,
			scaling: { type: "linear", factor: 8 },
		});
		expect(ropeOptionsFromConfig(perLayer, "sliding_attention")).toStrictEqual({
			headDim: 64,
			base: 1e4,
			maxPositions: 8192,
		});
	});

	test.each([undefined, "chunked_attention"])("the layer type must be named: %s is not", (layerType) => {
		const call = () => ropeOptionsFromConfig(perLayer, layerType);
		expect(call).toThrow(RopeError);
		expect(call).toThrow(
			`[tok/rope] layerType: expected full_attention or sliding_attention, got ${JSON.stringify(layerType)}. Name one.`,
		);
	});
});

describe("configurations that cannot be read", () => {
	test.each([
		["headDim: expected an integer", { model_type: "gpt2" }],
		["scaling.type: expected linear", { ...llama, rope_scaling: { rope_type: "proportional" } }],
		["scaling.type: expected linear", { ...llama, rope_scaling: { factor: 4 } }],
		[
			'factor: expected a finite number above 0, got "4".',
			{ ...llama, rope_scaling: { type: "linear", factor: "4" } },
		],
		[
			"factor: expected a finite number above 0, got undefined.",
			{ ...llama, rope_scaling: { type: "linear" } },
		],
		['base: expected a finite number above 1, got "1e4".', { ...llama, rope_theta: "1e4" }],
	])("%s (%#)", (message, config) => {
		const call = () => ropeOptionsFromConfig(config);
		expect(call).toThrow(RopeError);
		expect(call).toThrow(`[tok/rope] ${message}`);
	});
});

test("a scaling that is no object, and a head that is too wide to be true", () => {
	expect(() => ropeOptionsFromConfig({ ...llama, rope_scaling: 7 })).toThrow(
		/rope_scaling: expected an object, got 7/,
	);
	expect(() => ropeOptionsFromConfig({ ...llama, head_dim: 2 ** 40 })).toThrow(
		/headDim: expected an integer up to 65536/,
	);
});
