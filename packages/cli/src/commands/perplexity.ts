/** `tok perplexity`: how well a model predicts a text when its cache is kept by a policy. */
import { writeFile } from "node:fs/promises";
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import type { Tokenizer } from "@tok/lm";
import type { Command } from "../command.ts";
import { fail } from "../errors.ts";
import type { Flags } from "../flags.ts";
import { write, writeJson } from "../io.ts";
import { checkIds, readIds, readText } from "../read-input.ts";
import {
	defined,
	jsonFlag,
	modelFlag,
	policyHint,
	readPolicy,
	readRunFlags,
	runFlags,
} from "../shared-flags.ts";
import { formatBytes, formatCount, formatRate, rate } from "../terminal/format.ts";
import { ProgressLine } from "../terminal/progress-line.ts";
import { prepare, withModel } from "../with-model.ts";

export const perplexity: Command = {
	name: "perplexity",
	description: "Score a text: mean negative log-likelihood (nats) and perplexity under a cache policy",
	args: {
		...modelFlag,
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
		policy: {
			type: "string",
			valueHint: "policy",
			description: `${policyHint}. Default: sink:4,rolling:1020`,
		},
		...runFlags,
		"nll-out": {
			type: "string",
			valueHint: "file",
			description: "Write each token's −ln p, little-endian float32",
		},
		...jsonFlag,
	},
	examples: [
		["tok perplexity --text-file book.txt --policy sink:4,rolling:252", "StreamingLLM with a cache of 256."],
		[
			"tok perplexity --text-file book.txt --policy rolling:256",
			"A plain window: collapses once the first token leaves.",
		],
		[
			"tok perplexity --ids-file ids.i32 --from 4096 --tokens 4352 --policy recompute:256 --precision exact",
			"The slow yardstick, on 256 tokens of a long stream.",
		],
	],
	async run(context) {
		const { flags, io } = context;
		const settings = readRunFlags(flags);
		const policy = readPolicy(flags) ?? parsePolicy("sink:4,rolling:1020");
		const limit = flags.integer("tokens", 2);
		const from = flags.integer("from", 1) ?? 1;
		const readInput = await prepareInput(flags, io);
		await withModel(context, settings, async (model) => {
			const { ids, flag } = readInput(model.tokenizer, limit);
			checkIds(flag, ids, model.info.vocabularySize);
			const used = limit === undefined ? ids : ids.subarray(0, limit);
			if (limit !== undefined && limit > ids.length) {
				fail(`--tokens: expected at most the ${ids.length} tokens of the input, got ${limit}.`);
			}
			if (used.length <= from) {
				fail(
					`${flag}: expected more than ${from} tokens, got ${used.length}. Give a longer input, or a lower --from.`,
				);
			}
			await prepare(context, model, policy);
			const progress = new ProgressLine(io.stderr, io.env);
			const start = performance.now();
			const nll = await model
				.negativeLogLikelihoods(used, {
					policy,
					from,
					signal: io.signal,
					onProgress: (read) =>
						progress.message(`Scoring ${formatCount(read)} of ${formatCount(used.length)} tokens`),
					...defined({ positions: settings.positions, chunk: settings.chunk }),
				})
				.finally(() => progress.clear());
			const tokensPerSecond = rate(used.length, performance.now() - start);
			const mean = nll.reduce((sum, value) => sum + value, 0) / nll.length;
			const out = flags.text("nll-out");
			if (out !== undefined) await writeNumbers(out, nll);
			const result = {
				model: model.info.name,
				policy: formatPolicy(policy),
				precision: model.info.precision,
				tokens: used.length,
				scored: nll.length,
				nll: mean,
				perplexity: Math.exp(mean),
				tokensPerSecond,
				peakRssBytes: process.resourceUsage().maxRSS * 1024,
			};
			if (flags.has("json")) return writeJson(io.stdout, result);
			await write(
				io.stdout,
				`perplexity ${result.perplexity.toFixed(4)} (${mean.toFixed(5)} nats per token, ${formatCount(nll.length)} tokens scored)\n` +
					`${result.policy}, ${result.precision}, ${formatRate(tokensPerSecond)} tokens/s, ` +
					`peak memory ${formatBytes(result.peakRssBytes)}\n`,
			);
		});
	},
};

interface Input {
	readonly ids: Int32Array;
	/** The flag to name in errors. */
	readonly flag: string;
}

/** Reads the input before any model is loaded, so that a bad file is told at once. */
async function prepareInput(
	flags: Flags,
	io: Parameters<typeof readText>[2],
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

/** Little-endian float32. */
async function writeNumbers(path: string, values: Float32Array): Promise<void> {
	const bytes = new DataView(new ArrayBuffer(values.length * 4));
	for (const [index, value] of values.entries()) bytes.setFloat32(index * 4, value, true);
	try {
		await writeFile(path, bytes);
	} catch (error) {
		fail(`--nll-out: cannot write ${path}: ${(error as NodeJS.ErrnoException).code}.`, { cause: error });
	}
}
