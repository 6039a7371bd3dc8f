/**
 * A decoder on a runtime: the graphs, one per kind of cache, built and loaded when first needed.
 */
import { formatPolicy, type Policy, type Positions } from "@tok/kv-cache";
import { type Pairing, type RopeFrequencies, ropeFrequencies } from "@tok/rope";
import {
	type GraphFile,
	type GraphSession,
	type KvFormat,
	type KvPart,
	type Runtime,
	TokError,
} from "@tok/runtime";
import type { MemoryHeads, Precision } from "../model.ts";
import { archiveLayout } from "./archive-layout.ts";
import { headsWithoutWindow, type Remembering, recalls, segmentFormats } from "./cache-cost.ts";
import { type Compressor, Compressors } from "./compressors.ts";
import { buildDecoder } from "./decoder.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { archiveOf, describeSegments, type GraphSegment } from "./graph-segments.ts";
import { WeightMemory } from "./weight-memory.ts";
import type { Weights } from "./weights.ts";

export interface DecoderEngineOptions {
	readonly config: DecoderConfig;
	readonly weights: Weights;
	readonly precision: Precision;
	readonly pairing: Pairing;
	readonly runtime: Runtime;
	/** Heads in which sessions recall. Defaults to all of the layers that look back without a limit. */
	readonly memoryHeads?: readonly MemoryHeads[] | undefined;
	/** Besides tok's own, by the names that policies give them. Defaults to none. */
	readonly compressors?: Readonly<Record<string, Compressor>> | undefined;
	/** Names the model's graphs for a runtime that keeps them. Defaults to none. */
	readonly graphKey?: () => string | undefined;
}

export class DecoderEngine {
	readonly config: DecoderConfig;
	readonly weights: Weights;
	readonly precision: Precision;
	readonly runtime: Runtime;
	/** Heads in which sessions recall, and how they keep what they recall: in 8 bits where the rest is. */
	readonly remembering: Remembering;
	readonly pairing: Pairing;
	readonly compressors: Compressors;
	readonly #graphKey: DecoderEngineOptions["graphKey"];
	readonly #graphs = new Map<string, Promise<GraphSession>>(); // by name, which describeSegments begins
	readonly #names = new WeakMap<readonly GraphSegment[], string>();
	#disposed = false;

	/** Throws when `memoryHeads` are none of layers that look back without a limit, and on `compressors` that are none. */
	constructor(options: DecoderEngineOptions) {
		const { config, weights, precision, pairing, runtime, memoryHeads, compressors, graphKey } = options;
		this.config = config;
		this.weights = weights;
		this.precision = precision;
		this.runtime = runtime;
		this.remembering = {
			heads: checkedHeads(config, memoryHeads),
			format: precision === "fast" ? fastFormat(runtime) : "float32",
		};
		this.pairing = pairing;
		this.compressors = new Compressors(compressors);
		this.#graphKey = graphKey;
	}

	/**
	 * The graph for a cache of these segments. A failure is not kept: the next call tries again.
	 *
	 * @param attention Whether it tells of attention: another graph, with weights of its own. Defaults to false.
	 */
	graph(segments: readonly GraphSegment[], attention = false): Promise<GraphSession> {
		this.checkOpen();
		const name = attention ? `${this.#nameOf(segments)}, attention` : this.#nameOf(segments);
		const known = this.#graphs.get(name);
		if (known !== undefined) return known;
		const loading = this.#load(segments, attention, name);
		this.#graphs.set(name, loading);
		loading.catch(() => this.#graphs.delete(name));
		return loading;
	}

	/** Asked for at every step, with the same array. */
	#nameOf(segments: readonly GraphSegment[]): string {
		const name = this.#names.get(segments) ?? describeSegments(segments);
		this.#names.set(segments, name);
		return name;
	}

	/**
	 * Frequencies for a policy. Dynamic NTK and longrope depend on how long a context is: a bounded cache with
	 * positions inside it never sees more than its slots; any other context is taken to be as long as the model's own.
	 */
	frequencies(policy: Policy, positions: Positions): RopeFrequencies[] {
		const { config } = this;
		const slots = policy.reduce((sum, { slots, distance }) => sum + (distance === undefined ? slots : 0), 0);
		const bounded = positions === "in-cache" && Number.isFinite(slots);
		const sequenceLength = bounded ? slots + 1 : config.contextLength;
		return config.ropes.map((options) =>
			ropeFrequencies(sequenceLength === undefined ? options : { ...options, sequenceLength }),
		);
	}

	/** The segments that plans of a policy have views of, as its graph sees them: none for `recompute`. */
	segments(policy: Policy): readonly GraphSegment[] {
		if (policy[0]?.kind === "recompute") return [];
		const sendsOn = archiveLayout(policy)?.sendsOn === true;
		const parts = sendsOn ? headsWithoutWindow(this.config) : this.remembering.heads;
		const formats = segmentFormats(policy, this.remembering);
		const counted = policy.some(({ compressor = "" }) => this.compressors.counts(compressor));
		return policy.map(({ recall, takes, chosenBy, every = 1 }, segment) => ({
			format: formats[segment] ?? "float32",
			...(counted && segment === policy.length - 1 && { counted }),
			...(recall !== undefined &&
				typeof takes === "object" && {
					recall: {
						blocks: recall,
						blockSize: takes.entries,
						parts,
						rotated: chosenBy === "rotated",
						keeps: every > 1,
						leastMade: this.runtime.emptyTensors ? 0 : 1,
					},
				}),
		}));
	}

	/** Throws when the model cannot keep what the policy says. */
	checkPolicy(policy: Policy): void {
		const { kvHeads, headDim, layers } = this.config;
		this.compressors.check(policy, { layers: layers.length, kvHeads, headDim });
		if (recalls(policy) && this.remembering.heads.length === 0)
			throw new TokError(
				"lm",
				`${formatPolicy(policy)}: expected a model with layers that look back without a limit, got ` +
					`${this.config.architecture}, in which each has a window of its own. Leave the memory out.`,
			);
	}

	checkOpen(): void {
		if (this.#disposed) throw new TokError("lm", "the model was disposed. Load it again.");
	}

	async dispose(): Promise<void> {
		this.#disposed = true;
		const graphs = await Promise.allSettled(this.#graphs.values());
		this.#graphs.clear();
		for (const graph of graphs) if (graph.status === "fulfilled") await graph.value.dispose();
	}

	async #load(segments: readonly GraphSegment[], attention: boolean, name: string): Promise<GraphSession> {
		const { config, weights, precision, runtime } = this;
		const memory = new WeightMemory();
		// Four bytes a parameter are not worth their disk.
		const key = precision === "fast" && runtime.blockProducts !== undefined ? this.#graphKey?.() : undefined;
		const make = (): GraphFile =>
			buildDecoder(config, weights, {
				blockProducts: precision === "fast" ? runtime.blockProducts : undefined,
				half: precision === "fast" && runtime.arithmetic === "float16" && archiveOf(segments) < 0,
				segments,
				pairing: this.pairing,
				attention,
				memory,
			});
		try {
			return await runtime.loadGraph(
				make,
				key === undefined ? {} : { key: `${key}, ${runtime.blockProducts}, ${runtime.arithmetic}, ${name}` },
			);
		} finally {
			memory.release();
		}
	}
}

/** How `fast` keeps keys and values: in what graphs compute in, or in codes where products of integers are fast. */
function fastFormat({ arithmetic, kvFormats }: Runtime): KvFormat {
	if (arithmetic === "float16" && kvFormats.includes("float16")) return "float16";
	return kvFormats.includes("int8") ? "int8" : "float32";
}

/** Heads in which sessions recall, ascending. Throws when some of those wanted are none that can. */
export function checkedHeads(
	config: DecoderConfig,
	wanted: readonly MemoryHeads[] | undefined,
): readonly KvPart[] {
	const able = headsWithoutWindow(config);
	if (wanted === undefined) return able;
	const every = Array.from({ length: config.kvHeads }, (_, head) => head);
	const byLayer = new Map<number, Set<number>>();
	for (const { layer, heads = every } of wanted)
		byLayer.set(layer, new Set([...(byLayer.get(layer) ?? []), ...heads]));
	const known = [...byLayer].every(([layer, heads]) => {
		const all = able.find((part) => part.layer === layer)?.heads ?? [];
		return heads.size > 0 && [...heads].every((head) => all.includes(head));
	});
	if (!known || byLayer.size === 0)
		throw new TokError(
			"lm",
			`memoryHeads: expected heads 0 to ${config.kvHeads - 1} of the ${able.length} of ${config.layers.length} layers that ` +
				`look back without a limit, got ${JSON.stringify(wanted)}. Leave them out for all.`,
		);
	const ascending = (numbers: Iterable<number>): number[] => [...numbers].sort((a, b) => a - b);
	return ascending(byLayer.keys()).map((layer) => ({ layer, heads: ascending(byLayer.get(layer) ?? []) }));
}
