/**
 * A tiny model with a text of its own, for tests of sessions: the random weights of goldens/lm-tiny/llama (3 layers,
 * 160 tokens) in a folder with a small byte-level tokenizer, which the goldens lack.
 */
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { byteAlphabet } from "../text/byte-alphabet.ts";

const golden = fileURLToPath(new URL("../../../../goldens/lm-tiny/llama/", import.meta.url));

export interface TinyModelOptions {
	/** Names for tokenizer_config.json; undefined leaves one out. Defaults to bos <s> and eos </s>. */
	readonly special?: { readonly bos_token?: string; readonly eos_token?: string };
	/** Fields that replace config.json's. Defaults to none. */
	readonly config?: Readonly<Record<string, unknown>>;
	/** Defaults to true. */
	readonly tokenizer?: boolean;
}

/** The golden's config.json. */
export const tinyConfig: TinyConfig = JSON.parse(readFileSync(join(golden, "config.json"), "utf8"));

interface TinyConfig {
	readonly num_hidden_layers: number;
	readonly hidden_size: number;
	readonly num_attention_heads: number;
	readonly num_key_value_heads: number;
	readonly head_dim: number;
}

export const bosId = 1;
export const eosId = 2;

/** Makes the folder. The caller removes it with `removeFolder`. */
export function tinyModelFolder(options: TinyModelOptions = {}): string {
	const { special = { bos_token: "<s>", eos_token: "</s>" }, config = {}, tokenizer = true } = options;
	const folder = mkdtempSync(join(tmpdir(), "tok-tiny-"));
	copyFileSync(join(golden, "model.safetensors"), join(folder, "model.safetensors"));
	writeJson(join(folder, "config.json"), { ...tinyConfig, ...config });
	if (tokenizer) {
		writeJson(join(folder, "tokenizer.json"), tinyTokenizer());
		writeJson(join(folder, "tokenizer_config.json"), special);
	}
	return folder;
}

export function removeFolder(folder: string): void {
	rmSync(folder, { recursive: true, force: true });
}

function writeJson(path: string, value: unknown): void {
	writeFileSync(path, JSON.stringify(value));
}

/** <unk>, <s>, </s>, then every printable ASCII character, the line feed, and bytes of which é, – and 🐋 are made. */
function tinyTokenizer(): Record<string, unknown> {
	const special = ["<unk>", "<s>", "</s>"];
	const bytes = [
		...Array.from({ length: 95 }, (_, index) => 0x20 + index),
		...[0x0a, 0xc3, 0xe2, 0xf0],
		...Array.from({ length: 58 }, (_, index) => 0x80 + index),
	];
	const tokens = [...special, ...bytes.map((byte) => byteAlphabet[byte])];
	return {
		added_tokens: special.map((content, id) => ({ id, content, special: true })),
		pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
		decoder: { type: "ByteLevel" },
		model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
	};
}
