/** The tokens that a text is scored on: flags that name them, and their reading. */
import type { Model, Tokenizer } from "@tok/lm";
import type { ArgsDef } from "citty";
import { fail } from "./errors.ts";
import type { Flags } from "./flags.ts";
import type { Io } from "./io.ts";
import { checkIds, readIds, readText } from "./read-input.ts";

export const tokenFlags: ArgsDef = {
	"text-file": { type: "string", valueHint: "file", description: "UTF-8 text; - for standard input" },
	"ids-file": { type: "string", valueHint: "file", description: "Token ids, little-endian int32" },
	tokens: {
		type: "string",
		valueHint: "count",
		description: "Use only the first tokens of the input. Default: all",
	},
	from: {
		type: "string",
		valueHint: "index",
		description: "Score tokens from this one on; those before are read. Default: 1",
	},
};

export interface ScoredTokens {
	readonly ids: Int32Array;
	/** The first token that is scored. */
	readonly from: number;
}

/**
 * Reads the input before any model is loaded, so that a bad file is told at once; the returned function does what needs
 * the model's vocabulary. Both throw a TokError that names the flag.
 */
export async function prepareTokens(
	flags: Flags,
	io: Io,
): Promise<(model: Pick<Model, "tokenizer" | "info">) => ScoredTokens> {
	const limit = flags.integer("tokens", 2);
	const from = flags.integer("from", 1) ?? 1;
	const readInput = await prepareInput(flags, io);
	return ({ tokenizer, info }) => {
		const { ids, flag } = readInput(tokenizer, limit);
		checkIds(flag, ids, info.vocabularySize);
		const used = limit === undefined ? ids : ids.subarray(0, limit);
		if (limit !== undefined && limit > ids.length) {
			fail(`--tokens: expected at most the ${ids.length} tokens of the input, got ${limit}.`);
		}
		if (used.length <= from) {
			fail(
				`${flag}: expected more than ${from} tokens, got ${used.length}. Give a longer input, or a lower --from.`,
			);
		}
		return { ids: used, from };
	};
}

interface Input {
	readonly ids: Int32Array;
	/** The flag to name in errors. */
	readonly flag: string;
}

async function prepareInput(
	flags: Flags,
	io: Io,
): Promise<(tokenizer: Tokenizer, limit: number | undefined) => Input> {
	const textFile = flags.text("text-file");
	const idsFile = flags.text("ids-file");
	if ((textFile === undefined) === (idsFile === undefined)) {
		fail(`expected either --text-file or --ids-file, got ${textFile === undefined ? "neither" : "both"}.`);
	}
	if (idsFile !== undefined) {
		const ids = await readIds("--ids-file", idsFile);
		return () => ({ ids, flag: "--ids-file" });
	}
	const text = await readText("--text-file", textFile ?? "-", io);
	return (tokenizer, limit) => ({ ids: encodeFirst(tokenizer, text, limit), flag: "--text-file" });
}

/** At least the first `limit` ids of a text, or all: a book need not be encoded whole for its first page. */
function encodeFirst(tokenizer: Tokenizer, text: string, limit = Number.POSITIVE_INFINITY): Int32Array {
	const ids: number[] = [];
	for (const piece of tokenizer.encodeChunks(text)) {
		for (const id of piece) ids.push(id);
		if (ids.length >= limit) break;
	}
	return Int32Array.from(ids);
}
