/** What configurations of Gemma 3 say in other ways, and leave out. */
import { readFileSync } from "node:fs";
import { ropeFrequencies } from "@tok/rope";
import { expect, test } from "vitest";
import { type DecoderConfig, decoderConfig } from "../decoder/decoder-config.ts";
import { ConfigReader, type ConfigRecord } from "./config-reader.ts";
import { gemma3 } from "./gemma3.ts";

const url = new URL("../../../../goldens/lm-tiny/gemma3/config.json", import.meta.url);
const golden: ConfigRecord = JSON.parse(readFileSync(url, "utf8"));

function config(record: ConfigRecord): DecoderConfig {
	return decoderConfig(gemma3, new ConfigReader({ ...gemma3.defaults, ...record }, "config.json"));
}

/** The text part of google/gemma-3-4b-it's config.json, whole. */
const published: ConfigRecord = {
	hidden_size: 2560,
	intermediate_size: 10240,
	model_type: "gemma3_text",
	num_hidden_layers: 34,
	rope_scaling: { factor: 8.0, rope_type: "linear" },
	sliding_window: 1024,
};

test("the published text configuration, which leaves most to transformers, is complete", () => {
	const { queryHeads, kvHeads, headDim, vocabularySize, attentionScale, layers, ropes } = config(published);
	expect({ queryHeads, kvHeads, headDim, vocabularySize, attentionScale }).toEqual({
		queryHeads: 8,
		kvHeads: 4,
		headDim: 256,
		vocabularySize: 262_208,
		attentionScale: 1 / 16,
	});
	expect(layers.slice(0, 7).map(({ window }) => window)).toEqual([...Array(5).fill(1024), undefined, 1024]);
	// Every sixth layer sees everything, rotates slowly and is scaled.
	const [everything, windowed] = ropes.map((options) => ropeFrequencies(options).inverseFrequencies);
	expect(everything?.[0]).toBe(1 / 8);
	expect(everything?.[64]).toBeCloseTo(1e6 ** -0.5 / 8, 12);
	expect(windowed?.[0]).toBe(1);
	expect(windowed?.[64]).toBeCloseTo(1e4 ** -0.5, 12);
	expect(layers.map(({ rope }) => rope).slice(4, 7)).toEqual([1, 0, 1]);
});

test("transformers 5 keeps the rotations by type of layer", () => {
	const { rope_theta: base, rope_local_base_freq: local, rope_scaling: _, ...rest } = golden;
	const nested = config({
		...rest,
		rope_parameters: {
			full_attention: { rope_type: "default", rope_theta: base },
			sliding_attention: { rope_type: "default", rope_theta: local },
		},
	});
	expect(nested).toEqual(config(golden));
});
