import { describe, expect, test } from "vitest";
import type { MetadataValue } from "../formats/tensor-file.ts";
import { configFromGguf, ggufTensorNames } from "./gguf-config.ts";

const shape: Readonly<Record<string, MetadataValue>> = {
	"x.block_count": 3,
	"x.embedding_length": 104,
	"x.attention.head_count": 2,
};

function config(metadata: Readonly<Record<string, MetadataValue>>): Readonly<Record<string, unknown>> {
	return configFromGguf(new Map(Object.entries({ ...shape, ...metadata })), "x");
}

describe("what the keys say in config.json's words", () => {
	test("a head is as wide as its share of the hidden size, unless the file says otherwise", () => {
		expect(config({}).head_dim).toBe(52);
		expect(config({ "x.attention.key_length": 64 }).head_dim).toBe(64);
	});

	test("every number of rotated dimensions comes back whole from the share that it is", () => {
		expect(config({ "x.rope.dimension_count": 52 })).not.toHaveProperty("partial_rotary_factor");
		for (let headDim = 2; headDim <= 256; headDim += 2)
			for (let rotated = 2; rotated < headDim; rotated += 2) {
				const share = config({ "x.attention.key_length": headDim, "x.rope.dimension_count": rotated });
				expect(Math.floor(headDim * Number(share.partial_rotary_factor))).toBe(rotated);
			}
	});

	test("a window of 0, as Phi-4 has it, is none", () => {
		expect(config({ "x.attention.sliding_window": 0 })).not.toHaveProperty("sliding_window");
		expect(config({ "x.attention.sliding_window": 20 }).sliding_window).toBe(20);
	});

	test("a pattern of windows is one boolean per layer, or a number", () => {
		const types = ["sliding_attention", "sliding_attention", "full_attention"];
		const each = config({ "x.attention.sliding_window_pattern": [true, true, false] });
		expect(each.layer_types).toEqual(types);
		expect(each).not.toHaveProperty("sliding_window_pattern");
		const number = config({ "x.attention.sliding_window_pattern": 3 });
		expect(number.sliding_window_pattern).toBe(3);
		expect(number).not.toHaveProperty("layer_types");
	});

	test("a scaling factor without a type is linear, and the type none is none", () => {
		expect(config({ "x.rope.scaling.factor": 4 }).rope_scaling).toEqual({ rope_type: "linear", factor: 4 });
		const none = { "x.rope.scaling.factor": 4, "x.rope.scaling.type": "none" };
		expect(config(none)).not.toHaveProperty("rope_scaling");
		expect(config({})).not.toHaveProperty("rope_scaling");
	});

	test("numbers per layer count when all layers agree", () => {
		expect(config({ "x.attention.head_count_kv": [2, 2, 2] }).num_key_value_heads).toBe(2);
		expect(config({ "x.attention.head_count_kv": [2, 1, 2] })).not.toHaveProperty("num_key_value_heads");
	});
});

test("tensors are sought under every name that an architecture may give them", () => {
	expect(ggufTensorNames("layers.7.post_attention_layernorm.weight")).toEqual([
		"blk.7.post_attention_norm.weight",
		"blk.7.ffn_norm.weight",
	]);
	expect(ggufTensorNames("layers.0.mlp.experts.up_proj.bias")).toEqual(["blk.0.ffn_up_exps.bias"]);
	expect(ggufTensorNames("lm_head.weight")).toEqual(["output.weight"]);
	expect(ggufTensorNames("layers.0.nothing")).toEqual([]);
});
