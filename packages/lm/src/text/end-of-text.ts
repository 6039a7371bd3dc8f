/**
 * Which tokens end a generation. Files name one or a few; models mark the end of a turn with others that they do not
 * name, so that the control tokens below end it too (the list of llama.cpp's `src/llama-vocab.cpp`).
 */
import type { AddedToken } from "./added-tokens.ts";

const endingTexts: ReadonlySet<string> = new Set([
	"<|eot_id|>",
	"<|eom_id|>",
	"<|im_end|>",
	"<|end|>",
	"<|return|>",
	"<|call|>",
	"<end_of_turn>",
	"<|endoftext|>",
	"<|end_of_text|>",
	"<|end_of_turn|>",
	"<EOT>",
	"<｜end▁of▁sentence｜>",
	"<end_of_utterance>",
]);

export function endOfTextIds(
	named: readonly (number | undefined)[],
	addedTokens: readonly AddedToken[],
): ReadonlySet<number> {
	const ids = new Set(named.filter((id) => id !== undefined));
	const endings = addedTokens.filter((token) => token.special && endingTexts.has(token.text));
	const texts = new Set(endings.map((token) => token.text));
	// In the "harmony" format <|end|> closes a message, not the answer, which goes on in another channel.
	const isHarmony = texts.has("<|return|>") && texts.has("<|call|>");
	for (const token of endings) {
		if (!(isHarmony && token.text === "<|end|>")) ids.add(token.id);
	}
	return ids;
}
