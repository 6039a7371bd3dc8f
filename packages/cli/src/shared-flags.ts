/** Flags that several commands share: their definitions for help, and their values checked. */
import { readFileSync } from "node:fs";
import { formatPolicy, type Policy, type Positions, parsePolicy } from "@tok/kv-cache";
import { knownMemoryHeads, type MemoryHeads, type Precision } from "@tok/lm";
import type { ArgsDef } from "citty";
import { fail } from "./errors.ts";
import type { Flags } from "./flags.ts";

const defaultModel = "smollm2-135m";

export const modelFlag: ArgsDef = {
	model: {
		type: "string",
		valueHint: "path|name",
		description: `A .gguf file, a folder in transformers' layout, a name, or hf:owner/repo/file. Default: ${defaultModel}`,
	},
};

export const memoryHeadsFlag: ArgsDef = {
	"memory-heads": {
		type: "string",
		valueHint: "all|known|6,14.0,14.1|file.json",
		description:
			"Layers, or key/value heads of layers, that archive and recall under a policy with memory, those that are known of the model, or a file of tok eval heads; fewer cost less. Default: all",
	},
};

const memoryDiskFlag: ArgsDef = {
	"memory-disk": {
		type: "string",
		valueHint: "folder",
		description:
			"Keep half of an archive in files there, of which a step reads what it recalls, and not in memory. They go with the process",
	},
};

export const runFlags: ArgsDef = {
	precision: {
		type: "string",
		valueHint: "exact|fast",
		description:
			"float32 throughout, or quantised weights and 8-bit activations. Default: fast for quantised files",
	},
	positions: {
		type: "string",
		valueHint: "in-cache|original",
		description: "Number the entries that the cache holds, or the tokens of the stream. Default: in-cache",
	},
	chunk: {
		type: "string",
		valueHint: "tokens",
		description: "Most tokens that one graph call reads. Default: 128",
	},
	threads: {
		type: "string",
		valueHint: "count",
		description: "Threads to compute with. Default: one per core",
	},
	...memoryHeadsFlag,
	...memoryDiskFlag,
	"no-prepare": {
		type: "boolean",
		description: "Build the model anew, and keep nothing of it in the cache for the next start",
	},
};

export const jsonFlag: ArgsDef = {
	json: { type: "boolean", description: "Write one JSON object to standard output" },
};

export const policyHint: string =
	"dense, rolling:N, sink:K,rolling:N, rolling:N:turns, recompute:N; before rolling also memory:TOKENS/BLOCKSxSIZE " +
	"(archives and recalls what leaves the window) and compressive:SLOTS/RATE (merges it)";

/** A conversation's, with what leaves the window within reach. */
export const rememberingPolicy = "sink:4,memory:4096/8x16,rolling:1020:turns";

export interface RunSettings {
	readonly model: string;
	readonly precision: Precision | undefined;
	readonly positions: Positions | undefined;
	readonly chunk: number | undefined;
	readonly threads: number | undefined;
	/** Undefined when nothing is said. */
	readonly memoryHeads: readonly MemoryHeads[] | "all" | undefined;
	/** Folder for values of archives. */
	readonly memoryDisk: string | undefined;
	/** Keep the model's graph in the cache, and take it from there. */
	readonly prepare: boolean;
}

export function readModelFlag(flags: Flags): string {
	const model = flags.text("model") ?? defaultModel;
	return model.trim() === "" ? fail("--model: expected a path or a name, got nothing.") : model;
}

export function readRunFlags(flags: Flags): RunSettings {
	return {
		model: readModelFlag(flags),
		precision: flags.choice("precision", ["exact", "fast"]),
		positions: flags.choice("positions", ["in-cache", "original"]),
		chunk: flags.integer("chunk", 1, 65_536),
		threads: flags.integer("threads", 1, 1024),
		memoryHeads: readMemoryHeads(flags),
		memoryDisk: readMemoryDisk(flags),
		prepare: !flags.has("no-prepare"),
	};
}

function readMemoryDisk(flags: Flags): string | undefined {
	const folder = flags.text("memory-disk");
	return folder?.trim() === "" ? fail("--memory-disk: expected a folder, got nothing.") : folder;
}

/** Undefined when nothing is said. Whether the model has them is for the model to say. */
export function readMemoryHeads(flags: Flags): readonly MemoryHeads[] | "all" | undefined {
	const text = flags.text("memory-heads");
	if (text === undefined || text === "all") return text;
	if (text === "known") {
		const model = readModelFlag(flags);
		return (
			knownMemoryHeads(model) ??
			fail(
				`--memory-heads: expected a model whose heads are known, got ${model}. Find them with tok eval heads.`,
			)
		);
	}
	const items = text.endsWith(".json") ? headsOfFile(text) : text.split(",");
	return items.map((item) => {
		const [, layer, head] = /^(\d+)(?:\.(\d+))?$/.exec(item) ?? [];
		if (layer === undefined)
			fail(
				`--memory-heads: expected all, known, layers and heads such as 6,14.0,14.1, counted from 0, or a .json file of ` +
					`tok eval heads, got "${item}".`,
			);
		return { layer: Number(layer), ...(head !== undefined && { heads: [Number(head)] }) };
	});
}

/** As libraries take them: undefined for all. */
export function someHeads(heads: RunSettings["memoryHeads"]): readonly MemoryHeads[] | undefined {
	return heads === "all" ? undefined : heads;
}

/** The choice that `tok eval heads --out` has written. */
function headsOfFile(path: string): readonly string[] {
	let report: { readonly heads?: unknown } | null;
	try {
		report = JSON.parse(readFileSync(path, "utf8"));
	} catch (error) {
		fail(
			`--memory-heads: expected a file that tok eval heads has written, got ${path}: ${(error as Error).message}.`,
		);
	}
	const heads = report?.heads;
	if (!Array.isArray(heads) || heads.length === 0 || !heads.every((head) => typeof head === "string"))
		fail(
			`--memory-heads: expected a list of heads in ${path}, got ${JSON.stringify(heads)}. Write it with tok eval heads.`,
		);
	return heads;
}

/** Reads --policy; its text is checked before any model is loaded. */
export function readPolicy(flags: Flags): Policy | undefined {
	const text = flags.text("policy");
	if (text === undefined) return undefined;
	const policy = parsePolicy(text);
	formatPolicy(policy);
	return policy;
}

/** The given entries without the undefined ones, for options objects whose keys are either set or absent. */
export function defined<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
	return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
		[K in keyof T]?: Exclude<T[K], undefined>;
	};
}
