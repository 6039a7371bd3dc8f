/** `tok perplexity`: how well a model predicts a text when its cache is kept by a policy. */
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import type { Command } from "../command.ts";
import { write, writeJson } from "../io.ts";
import { prepareTokens, tokenFlags } from "../read-tokens.ts";
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
import { writeAside } from "../write-aside.ts";

export const perplexity: Command = {
	name: "perplexity",
	description: "Score a text: mean negative log-likelihood (nats) and perplexity under a cache policy",
	args: {
		...modelFlag,
		...tokenFlags,
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
		const readTokens = await prepareTokens(flags, io);
		await withModel(context, settings, async (model) => {
			const { ids, from } = readTokens(model);
			await prepare(context, model, policy);
			const progress = new ProgressLine(io.stderr, io.env);
			const start = performance.now();
			const nll = await model
				.negativeLogLikelihoods(ids, {
					policy,
					from,
					signal: io.signal,
					onProgress: (read) =>
						progress.message(`Scoring ${formatCount(read)} of ${formatCount(ids.length)} tokens`),
					...defined({ positions: settings.positions, chunk: settings.chunk }),
				})
				.finally(() => progress.clear());
			const tokensPerSecond = rate(ids.length, performance.now() - start);
			const mean = nll.reduce((sum, value) => sum + value, 0) / nll.length;
			const out = flags.text("nll-out");
			if (out !== undefined) await writeNumbers(out, nll);
			const result = {
				model: model.info.name,
				policy: formatPolicy(policy),
				precision: model.info.precision,
				tokens: ids.length,
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

/** Little-endian float32. */
async function writeNumbers(path: string, values: Float32Array): Promise<void> {
	const bytes = new DataView(new ArrayBuffer(values.length * 4));
	for (const [index, value] of values.entries()) bytes.setFloat32(index * 4, value, true);
	await writeAside("--nll-out", path, new Uint8Array(bytes.buffer));
}
