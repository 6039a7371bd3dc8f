/** `tok inspect`: what a model file holds, and what a policy costs in bytes. Reads the header alone. */
import type { ModelReport } from "@tok/lm";
import type { Command } from "../command.ts";
import { write, writeJson } from "../io.ts";
import {
	defined,
	jsonFlag,
	memoryHeadsFlag,
	modelFlag,
	policyHint,
	readMemoryHeads,
	readModelFlag,
	readPolicy,
	someHeads,
} from "../shared-flags.ts";
import { formatBytes, formatCount } from "../terminal/format.ts";
import { ProgressLine } from "../terminal/progress-line.ts";

export const inspect: Command = {
	name: "inspect",
	description: "Show what a model file holds, and what a cache policy costs in bytes",
	args: {
		...modelFlag,
		policy: { type: "string", valueHint: "policy", description: policyHint },
		...memoryHeadsFlag,
		...jsonFlag,
	},
	examples: [
		[
			"tok inspect --model model.gguf",
			"Architecture, tensors by type, tokenizer, context length, chat template.",
		],
		[
			"tok inspect --policy sink:4,rolling:1020",
			"Bytes of keys and values that a session under this policy keeps.",
		],
		[
			"tok inspect --policy sink:4,memory:65536/8x16,rolling:1020 --memory-heads 10,14.1,17,20",
			"What it costs to remember 65,536 tokens in four layers.",
		],
	],
	async run({ flags, io, services }) {
		const model = readModelFlag(flags);
		const policy = readPolicy(flags);
		const memoryHeads = someHeads(readMemoryHeads(flags));
		const progress = new ProgressLine(io.stderr, io.env);
		const report = await services
			.inspectModel(model, {
				env: io.env,
				signal: io.signal,
				onProgress: progress.show,
				...defined({ policy, memoryHeads }),
			})
			.finally(() => progress.clear());
		if (flags.has("json")) return writeJson(io.stdout, report);
		await write(io.stdout, describe(report));
	},
};

function describe(report: ModelReport): string {
	const { tokenizer, policy } = report;
	const rows: [string, string][] = [
		["file", `${report.path} (${report.format})`],
		["architecture", report.architecture],
		["parameters", `${formatCount(report.parameters)} in ${formatBytes(report.bytes)}`],
		...report.tensors.map(({ type, count, bytes }, index): [string, string] => [
			index === 0 ? "tensors" : "",
			`${count} × ${type}, ${formatBytes(bytes)}`,
		]),
		["layers", `${report.layers} of width ${report.hiddenSize}`],
		["heads", `${report.queryHeads} query, ${report.kvHeads} key/value, ${report.headDim} wide`],
		[
			"context",
			report.contextLength === null
				? "not stated"
				: `${formatCount(report.contextLength)} tokens in training`,
		],
		["vocabulary", formatCount(report.vocabularySize)],
		["tokenizer", tokenizer === null ? `none: ${report.tokenizerProblem}` : describeTokenizer(tokenizer)],
		[
			"chat template",
			report.chatTemplate === null ? "none" : `${formatCount(report.chatTemplate.length)} characters`,
		],
		["cache", `${formatBytes(report.cacheBytesPerToken)} a token`],
	];
	if (policy !== undefined) {
		const cost =
			policy.bytes === null || policy.entries === null
				? "grows with the text, without a limit"
				: `${formatCount(policy.entries)} entries, ${formatBytes(policy.bytes)}`;
		rows.push(["policy", `${policy.policy}: ${cost}`]);
	}
	return rows.map(([label, text]) => `${label.padEnd(14)} ${text}\n`).join("");
}

function describeTokenizer({
	vocabularySize,
	bos,
	eos,
	endOfText,
}: NonNullable<ModelReport["tokenizer"]>): string {
	return `${formatCount(vocabularySize)} tokens, begins ${bos ?? "with nothing"}, ends ${eos ?? "with nothing"} (${endOfText.join(" ")})`;
}
