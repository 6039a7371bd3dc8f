/** Small tokenizers as GGUF metadata, for tests without a model. */
import type { MetadataValue } from "../formats/tensor-file.ts";
import { byteAlphabet, toByteAlphabet } from "../text/byte-alphabet.ts";

/** All 256 bytes, then the merges' results, then <|end|> as a control and <user> as a user-defined token. */
export function byteLevelMetadata(
	pre: string,
	merges: readonly (readonly [string, string])[],
): Map<string, MetadataValue> {
	const pairs = merges.map(([left, right]) => [toByteAlphabet(left), toByteAlphabet(right)] as const);
	const tokens = [...new Set([...byteAlphabet, ...pairs.map((pair) => pair.join(""))]), "<|end|>", "<user>"];
	return new Map<string, MetadataValue>([
		["tokenizer.ggml.model", "gpt2"],
		["tokenizer.ggml.pre", pre],
		["tokenizer.ggml.tokens", tokens],
		[
			"tokenizer.ggml.token_type",
			tokens.map((_, id) => (id === tokens.length - 2 ? 3 : id === tokens.length - 1 ? 4 : 1)),
		],
		["tokenizer.ggml.merges", pairs.map((pair) => pair.join(" "))],
		["tokenizer.ggml.eos_token_id", tokens.length - 2],
	]);
}

/** SentencePiece: <unk>, <s>, </s>, 256 byte tokens, then the pieces, best first. */
export function sentencePieceMetadata(
	pieces: readonly string[],
	addSpacePrefix = true,
): Map<string, MetadataValue> {
	const bytes = Array.from(
		{ length: 256 },
		(_, byte) => `<0x${byte.toString(16).toUpperCase().padStart(2, "0")}>`,
	);
	const tokens = ["<unk>", "<s>", "</s>", ...bytes, ...pieces];
	return new Map<string, MetadataValue>([
		["tokenizer.ggml.model", "llama"],
		["tokenizer.ggml.pre", "default"],
		["tokenizer.ggml.tokens", tokens],
		["tokenizer.ggml.token_type", [2, 3, 3, ...bytes.map(() => 6), ...pieces.map(() => 1)]],
		["tokenizer.ggml.scores", tokens.map((_, id) => (id < 259 ? 0 : 259 - id))],
		["tokenizer.ggml.bos_token_id", 1],
		["tokenizer.ggml.eos_token_id", 2],
		["tokenizer.ggml.unknown_token_id", 0],
		["tokenizer.ggml.add_bos_token", true],
		["tokenizer.ggml.add_space_prefix", addSpacePrefix],
	]);
}
