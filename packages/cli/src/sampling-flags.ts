/** How tokens are chosen, and where sessions are kept: flags of `generate` and `chat`. */
import { access, constants, stat } from "node:fs/promises";
import { dirname, resolve } from "node:path";
import type { GenerateOptions } from "@tok/lm";
import type { ArgsDef } from "citty";
import { fail } from "./errors.ts";
import type { Flags } from "./flags.ts";
import { defined } from "./shared-flags.ts";

export const samplingFlags: ArgsDef = {
	temperature: {
		type: "string",
		valueHint: "number",
		description: "0 takes the likeliest token. Default: 0.8",
	},
	"top-k": {
		type: "string",
		valueHint: "count",
		description: "Choose among so many likeliest tokens. Default: 0, all",
	},
	"top-p": {
		type: "string",
		valueHint: "share",
		description: "Choose among the fewest that reach it. Default: 0.95",
	},
	"min-p": {
		type: "string",
		valueHint: "share",
		description: "Drop tokens below this share of the best. Default: 0",
	},
	"repetition-penalty": {
		type: "string",
		valueHint: "number",
		description: "Above 1: repeat less. Default: 1",
	},
	"repetition-window": {
		type: "string",
		valueHint: "tokens",
		description: "How many latest tokens the penalty counts. Default: 64",
	},
	seed: {
		type: "string",
		valueHint: "integer",
		description: "Same seed, same choices. Default: a random one",
	},
	speculate: {
		type: "string",
		valueHint: "count",
		description: "Guess so many tokens ahead at most: faster where text repeats itself. Default: 0",
	},
	stop: {
		type: "string",
		valueHint: "text",
		description: "Stop before this text; may be given more than once",
	},
};

export const sessionFileFlags: ArgsDef = {
	restore: { type: "string", valueHint: "file", description: "Go on from a saved session" },
	save: { type: "string", valueHint: "file", description: "Save the session to a file at the end" },
};

export type SamplingSettings = Omit<
	GenerateOptions,
	"prompt" | "signal" | "maxTokens" | "logprobs" | "ignoreEndOfText"
>;

export function readSampling(flags: Flags, defaults: SamplingSettings = {}): SamplingSettings {
	const stop = flags.texts("stop");
	if (stop.includes("")) fail("--stop: expected a text, got nothing.");
	return {
		...defaults,
		...defined({
			temperature: flags.number("temperature", 0, Number.POSITIVE_INFINITY),
			topK: flags.integer("top-k", 0),
			topP: flags.number("top-p", 0, 1, { above: true }),
			minP: flags.number("min-p", 0, 1),
			repetitionPenalty: flags.number("repetition-penalty", 0, Number.POSITIVE_INFINITY, { above: true }),
			repetitionWindow: flags.integer("repetition-window", 0),
			seed: flags.integer("seed", Number.MIN_SAFE_INTEGER),
			speculate: flags.integer("speculate", 0),
			stop: stop.length > 0 ? stop : undefined,
		}),
	};
}

export interface SessionFiles {
	readonly restore: string | undefined;
	readonly save: string | undefined;
}

/** Throws when there is nothing to restore, or no folder to save to, before a model is loaded. */
export async function readSessionFiles(flags: Flags): Promise<SessionFiles> {
	const restore = flags.text("restore");
	const save = flags.text("save");
	if (restore !== undefined) await checkRestorePath("--restore", restore);
	if (save !== undefined) await checkSavePath("--save", save);
	return { restore, save };
}

export async function checkRestorePath(flag: string, path: string): Promise<void> {
	const stats = await stat(path).catch(() => undefined);
	if (!stats?.isFile()) fail(`${flag}: expected a saved session, got nothing at ${path}. Check the path.`);
}

export async function checkSavePath(flag: string, path: string): Promise<void> {
	const folder = dirname(resolve(path));
	try {
		await access(folder, constants.W_OK);
	} catch (error) {
		const reason =
			(error as NodeJS.ErrnoException).code === "ENOENT" ? "there is no such folder" : "not writable";
		fail(`${flag}: cannot write to ${folder}: ${reason}.`, { cause: error });
	}
	const stats = await stat(path).catch(() => undefined);
	if (stats?.isDirectory()) fail(`${flag}: expected a file, got the folder ${path}.`);
}
