/**
 * A tokenizer and a chat template for the random decoders of goldens/lm-tiny, which have none: 160 tokens, a byte each,
 * so that every text of ASCII can be read, and is written as noise.
 */

const special = ["<unk>", "<s>", "</s>"];

/** As tokenizer.json has it. Bytes are letters of GPT-2's alphabet: printable ones themselves, the others from Ā on. */
export function tinyTokenizer(): Record<string, unknown> {
	const printable = Array.from({ length: 94 }, (_, i) => String.fromCodePoint(0x21 + i));
	const others = Array.from({ length: 63 }, (_, i) => String.fromCodePoint(0x100 + i));
	const tokens = [...special, ...printable, ...others];
	return {
		added_tokens: special.map((content, id) => ({ id, content, special: true })),
		pre_tokenizer: { type: "ByteLevel", add_prefix_space: false, use_regex: true },
		decoder: { type: "ByteLevel" },
		model: { type: "BPE", vocab: Object.fromEntries(tokens.map((token, id) => [token, id])), merges: [] },
	};
}

/** As tokenizer_config.json has it. */
export const tinyTokenizerConfig = {
	bos_token: "<s>",
	eos_token: "</s>",
	chat_template:
		"{% for message in messages %}[{{ message.role }}] {{ message.content }}\n{% endfor %}" +
		"{% if add_generation_prompt %}[assistant] {% endif %}",
};
