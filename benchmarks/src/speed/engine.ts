/**
 * What both sides of the comparison do, each through its own JavaScript interface: read tokens, and generate after
 * them. Sampling is greedy, generation does not stop at the end-of-text token, so every run does the same work.
 */

export interface EngineOptions {
	/** Name or path of the model, as a user gives it. */
	readonly model: string;
	/** Where that model's file lies. */
	readonly path: string;
	readonly threads: number;
	/** Folder of graphs that tok has prepared, or that it will. */
	readonly prepared: string;
}

export interface Engine {
	/** What runs, with its version and settings. */
	readonly description: string;
	/** Milliseconds to read `ids` into an empty cache of `window` entries and to choose the token that follows. */
	prefill(ids: readonly number[], window: number): Promise<number>;
	/** Milliseconds of each of `steps` tokens generated while `window` entries are cached. */
	decode(ids: readonly number[], window: number, steps: number): Promise<number[]>;
	/**
	 * Milliseconds of `steps` tokens in each of `streams` streams at once, while `window` entries are cached in each. The
	 * streams' texts differ.
	 */
	decodeTogether(ids: readonly number[], options: TogetherOptions): Promise<number>;
	dispose(): Promise<void>;
}

export interface TogetherOptions {
	readonly window: number;
	readonly streams: number;
	readonly steps: number;
}

export const engineNames = ["tok", "node-llama-cpp"] as const;
export type EngineName = (typeof engineNames)[number];

/** Imports only the engine that is wanted, so that neither carries the other's memory. */
export async function openEngine(name: EngineName, options: EngineOptions): Promise<Engine> {
	if (name === "tok") return (await import("./tok-engine.ts")).openTok(options);
	return (await import("./llama-engine.ts")).openLlama(options);
}
