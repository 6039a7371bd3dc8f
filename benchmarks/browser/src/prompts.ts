/** Prompts that are the same tokens to every side, whether it is given ids or text. */
import type { Prompt } from "./engine.ts";
import type { Prompts } from "./visit.ts";

/** What is asked of a tokenizer here. */
export interface Codec {
	encode(text: string): readonly number[];
	decode(ids: readonly number[]): string;
}

const SHORT = 16;
/** Tokens of a long prompt, and how many there are. */
export const LONG = 256;
const LONGS = 3;

export function choosePrompts(ids: readonly number[], codec: Codec): Prompts {
	const short = stablePrompt(ids, codec, 0, SHORT);
	const long: Prompt[] = [];
	let from = short.end;
	while (long.length < LONGS) {
		const { prompt, end } = stablePrompt(ids, codec, from, LONG);
		long.push(prompt);
		from = end;
	}
	return { short: short.prompt, long };
}

/** The first run of `length` ids from `from` on whose text is cut into the same ids again. */
export function stablePrompt(
	ids: readonly number[],
	codec: Codec,
	from: number,
	length: number,
): { readonly prompt: Prompt; readonly end: number } {
	for (let start = from; start + length <= ids.length; start++) {
		const run = ids.slice(start, start + length);
		const text = codec.decode(run);
		const again = codec.encode(text);
		if (again.length === length && again.every((id, i) => id === run[i]))
			return { prompt: { ids: run, text }, end: start + length };
	}
	throw new RangeError(
		`prompts: expected ${length} tokens from ${from} on whose text gives them again, got none in ${ids.length}. Use tokens of the model's own tokenizer.`,
	);
}
