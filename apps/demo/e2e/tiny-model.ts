/** A decoder of three layers on the disk, for what takes many tokens, or a GPU in software. */
import { copyFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { tinyTokenizer, tinyTokenizerConfig } from "../src/testing/tiny-tokenizer.ts";

const golden = join(import.meta.dirname, "../../../goldens/lm-tiny/llama");

/** Paths of its files, in transformers' layout. */
export function tinyModel(folder: string): string[] {
	for (const name of ["config.json", "model.safetensors"])
		copyFileSync(join(golden, name), join(folder, name));
	writeFileSync(join(folder, "tokenizer.json"), JSON.stringify(tinyTokenizer()));
	writeFileSync(join(folder, "tokenizer_config.json"), JSON.stringify(tinyTokenizerConfig));
	return ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"].map((name) =>
		join(folder, name),
	);
}
