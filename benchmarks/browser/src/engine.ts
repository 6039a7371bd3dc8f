/**
 * What a page measures on every side. Ids go in, and the same number of tokens comes out on all sides: greedy, and no
 * token ends the text.
 */

export interface Engine {
	/** Fetches the model and loads it, without what the side keeps for a second visit. Tells what it is. */
	load(options: EngineOptions): Promise<string>;
	/** Reads the prompt into an empty context and chooses the next token: milliseconds. */
	read(prompt: Prompt): Promise<number>;
	/** Reads the prompt, chooses a token, and then `steps` more. */
	write(prompt: Prompt, steps: number): Promise<Written>;
}

/** The same tokens twice: not every side takes ids. */
export interface Prompt {
	readonly ids: readonly number[];
	readonly text: string;
}

export interface Written {
	/** Milliseconds of each step, from choice to choice. */
	readonly times: readonly number[];
	/** The first tokens that were chosen, as far as the side tells them. */
	readonly ids: readonly number[];
}

export interface EngineOptions {
	readonly threads: number;
}

/** Tokens whose ids are kept, to compare the sides. */
export const KEPT = 64;
