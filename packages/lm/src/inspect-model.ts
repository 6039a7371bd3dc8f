/** What a model file holds, read from its header alone, and what a cache policy costs in bytes. */
import { formatPolicy, fullSlots, type Policy } from "@tok/kv-cache";
import { TokError } from "@tok/runtime";
import { cacheBytes, cacheBytesPerEntry, type Remembering } from "./decoder/cache-cost.ts";
import type { DecoderConfig } from "./decoder/decoder-config.ts";
import { checkedHeads } from "./decoder/decoder-engine.ts";
import { defaultPrecision } from "./default-precision.ts";
import type { TensorFile } from "./formats/tensor-file.ts";
import type { MemoryHeads } from "./model.ts";
import { type ModelFiles, type ModelSource, nameOf } from "./model-files.ts";
import type { OpenDecoder } from "./open-decoder.ts";
import { openFiles } from "./open-files.ts";
import { type ModelText, openDecoder, openText } from "./open-model.ts";
import type { ResolveOptions } from "./resolve/resolve-model.ts";

export interface ModelReport {
	readonly name: string;
	readonly path: string;
	readonly format: ModelFiles["format"];
	readonly architecture: string;
	readonly layers: number;
	readonly hiddenSize: number;
	readonly queryHeads: number;
	readonly kvHeads: number;
	readonly headDim: number;
	readonly vocabularySize: number;
	/** Positions that the model was trained on; null when the file does not say. */
	readonly contextLength: number | null;
	/** Elements of all tensors. */
	readonly parameters: number;
	/** Bytes of all tensors. */
	readonly bytes: number;
	/** Tensors by type, the most bytes first. */
	readonly tensors: readonly { readonly type: string; readonly count: number; readonly bytes: number }[];
	/** Null when the file carries none that can be read; `tokenizerProblem` says why. */
	readonly tokenizer: {
		readonly vocabularySize: number;
		readonly bos: string | null;
		readonly eos: string | null;
		readonly endOfText: readonly string[];
	} | null;
	readonly tokenizerProblem: string | null;
	/** Jinja; null when the model carries none. */
	readonly chatTemplate: string | null;
	/** Bytes of keys and values (float32) of one token in all layers. */
	readonly cacheBytesPerToken: number;
	/** Present when a policy was given. */
	readonly policy?: PolicyCost;
}

export interface PolicyCost {
	readonly policy: string;
	/** Entries kept; null for a policy without a limit. */
	readonly entries: number | null;
	/** Bytes of keys and values; null for a policy without a limit. */
	readonly bytes: number | null;
}

export interface InspectOptions extends ResolveOptions {
	/** A policy whose cost is to be known. Defaults to none. */
	readonly policy?: Policy;
	/** Heads that archive and recall under it. Defaults to all of the layers that look back without a limit. */
	readonly memoryHeads?: readonly MemoryHeads[];
}

/** Throws a TokError when the model is not found, is damaged, or its architecture is unknown. */
export async function inspectModel(
	source: ModelSource,
	{ policy, memoryHeads, ...options }: InspectOptions = {},
): Promise<ModelReport> {
	const found = await openFiles(source, options);
	const decoder = await openDecoder(found);
	const { file, config } = decoder;
	try {
		const text = await textOrProblem(found, decoder);
		return {
			name: nameOf(source),
			path: found.path,
			format: found.format,
			...shapeOf(config),
			...tensorsOf(file),
			...describeText(text),
			cacheBytesPerToken: cacheBytesPerEntry(config),
			...(policy !== undefined && {
				policy: costOf(policy, config, {
					heads: checkedHeads(config, memoryHeads),
					format: defaultPrecision(file) === "exact" ? "float32" : "int8",
				}),
			}),
		};
	} finally {
		file.close();
	}
}

function shapeOf(config: DecoderConfig) {
	const { architecture, hiddenSize, queryHeads, kvHeads, headDim, vocabularySize } = config;
	const contextLength = config.contextLength ?? null;
	return {
		architecture,
		layers: config.layers.length,
		hiddenSize,
		queryHeads,
		kvHeads,
		headDim,
		vocabularySize,
		contextLength,
	};
}

function tensorsOf(file: TensorFile) {
	const byType = new Map<string, { type: string; count: number; bytes: number }>();
	let parameters = 0;
	let bytes = 0;
	for (const { type, dims, byteLength } of file.tensors.values()) {
		const entry = byType.get(type) ?? { type, count: 0, bytes: 0 };
		byType.set(type, entry);
		entry.count++;
		entry.bytes += byteLength;
		bytes += byteLength;
		parameters += dims.reduce((product, dim) => product * dim, 1);
	}
	return { parameters, bytes, tensors: [...byType.values()].sort((a, b) => b.bytes - a.bytes) };
}

async function textOrProblem(found: ModelFiles, decoder: OpenDecoder): Promise<ModelText | string> {
	try {
		const text = await openText(found, decoder);
		await text.chatTemplate?.prepare();
		return text;
	} catch (error) {
		if (TokError.isInstance(error)) return (error as Error).message;
		throw error;
	}
}

function describeText(text: ModelText | string) {
	if (typeof text === "string") return { tokenizer: null, tokenizerProblem: text, chatTemplate: null };
	const { tokenizer, chatTemplate } = text;
	const textOf = (id: number | undefined) => (id === undefined ? null : tokenizer.tokenText(id));
	return {
		tokenizer: {
			vocabularySize: tokenizer.vocabularySize,
			bos: textOf(tokenizer.bosId),
			eos: textOf(tokenizer.eosId),
			endOfText: [...tokenizer.endOfTextIds].map((id) => tokenizer.tokenText(id)),
		},
		tokenizerProblem: null,
		chatTemplate: chatTemplate?.source ?? null,
	};
}

function costOf(policy: Policy, config: DecoderConfig, remembering: Remembering): PolicyCost {
	const entries = fullSlots(policy).reduce((sum, slots) => sum + slots, 0);
	const limited = Number.isFinite(entries);
	return {
		policy: formatPolicy(policy),
		entries: limited ? entries : null,
		bytes: limited ? cacheBytes(config, policy, remembering) : null,
	};
}
