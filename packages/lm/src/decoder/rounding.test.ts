/** In which blocks `fast` keeps the matrices of a layer, which decides how activations are rounded. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readGraph } from "@tok/graph";
import type { BlockProducts } from "@tok/runtime";
import { expect, test } from "vitest";
import { diskFolder } from "../formats/file-source.ts";
import { openTransformersDecoder } from "../open-decoder.ts";
import { buildDecoder } from "./decoder.ts";
import { WeightMemory } from "./weight-memory.ts";

const goldens = fileURLToPath(new URL("../../../../goldens/", import.meta.url));

/** Sizes of the blocks of the products with queries, keys and values, and of all others. */
function blockSizes(name: string, blockProducts: BlockProducts): { qkv: unknown[]; others: unknown[] } {
	const { file, ...decoder } = openTransformersDecoder(diskFolder(join(goldens, "lm-tiny", name)));
	const { config, weights, pairing } = decoder;
	const memory = new WeightMemory();
	const segments = [{ format: "float32" as const }];
	const { model } = buildDecoder(config, weights, {
		blockProducts,
		half: false,
		segments,
		pairing,
		memory,
	});
	file.close();
	const { nodes } = readGraph(model);
	const products = nodes.filter(({ op }) => op === "MatMulNBits");
	const sizes = (qkv: boolean): unknown[] => [
		...new Set(
			products
				.filter(({ inputs }) => inputs[1]?.includes("self_attn.qkv") === qkv)
				.map(({ attributes }) => attributes.block_size),
		),
	];
	return { qkv: sizes(true), others: sizes(false) };
}

test.each(["llama", "phi3"])(
	"%s: queries, keys and values in halves of blocks, where products round",
	(name) => {
		expect(blockSizes(name, "int8")).toEqual({ qkv: [16], others: [32] });
		expect(blockSizes(name, "float32")).toEqual({ qkv: [32], others: [32] });
	},
);
