/**
 * A decoder on a runtime: the graphs, one per kind of cache, built and loaded when first needed.
 */
import { formatPolicy, type Policy, type Positions } from "@tok/kv-cache";
import { type Pairing, type RopeFrequencies, ropeFrequencies } from "@tok/rope";
import { type GraphFile, type GraphSession, type Runtime, TokError } from "@tok/runtime";
import type { Precision } from "../model.ts";
import { layersWithoutWindow } from "./cache-cost.ts";
import { buildDecoder } from "./decoder.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { describeSegments, type GraphSegment } from "./graph-segments.ts";
import { checkCompressors } from "./transfers.ts";
import { WeightMemory } from "./weight-memory.ts";
import type { Weights } from "./weights.ts";

export interface DecoderEngineOptions {
	readonly config: DecoderConfig;
	readonly weights: Weights;
	readonly precision: Precision;
	readonly pairing: Pairing;
	readonly runtime: Runtime;
	/** Layers in which sessions recall. Defaults to all that look back without a limit. */
	readonly memoryLayers?: readonly number[] | undefined;
	/** Names the model's graphs for a runtime that keeps them. Defaults to none. */
	readonly graphKey?: () => string | undefined;
}

export class DecoderEngine {
	readonly config: DecoderConfig;
	readonly weights: Weights;
	readonly precision: Precision;
	readonly runtime: Runtime;
	/** Layers in which sessions recall, ascending. */
	readonly memoryLayers: readonly number[];
	readonly pairing: Pairing;
	readonly #graphKey: DecoderEngineOptions["graphKey"];
	readonly #graphs = new Map<string, Promise<GraphSession>>(); // describeSegments → graph
	#disposed = false;

	/** Throws when `memoryLayers` are none of the model's that look back without a limit. */
	constructor({
		config,
		weights,
		precision,
		pairing,
		runtime,
		memoryLayers,
		graphKey,
	}: DecoderEngineOptions) {
		this.config = config;
		this.weights = weights;
		this.precision = precision;
		this.runtime = runtime;
		this.memoryLayers = checkedMemoryLayers(config, memoryLayers);
		this.pairing = pairing;
		this.#graphKey = graphKey;
	}

	/** The graph for a cache of these segments. A failure is not kept: the next call tries again. */
	graph(segments: readonly GraphSegment[]): Promise<GraphSession> {
		this.checkOpen();
		const name = describeSegments(segments, this.memoryLayers);
		const known = this.#graphs.get(name);
		if (known !== undefined) return known;
		const loading = this.#load(segments, name);
		this.#graphs.set(name, loading);
		loading.catch(() => this.#graphs.delete(name));
		return loading;
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

	/** Throws when the model cannot keep what the policy says. */
	checkPolicy(policy: Policy): void {
		checkCompressors(policy);
		if (policy.some(({ recall }) => recall !== undefined) && this.memoryLayers.length === 0)
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

	async #load(segments: readonly GraphSegment[], name: string): Promise<GraphSession> {
		const { config, weights, precision, runtime, memoryLayers } = this;
		const memory = new WeightMemory();
		// Four bytes a parameter are not worth their disk.
		const key = precision === "fast" ? this.#graphKey?.() : undefined;
		const make = (): GraphFile =>
			buildDecoder(config, weights, { precision, segments, memoryLayers, pairing: this.pairing, memory });
		try {
			return await runtime.loadGraph(make, key === undefined ? {} : { key: `${key}, ${name}` });
		} finally {
			memory.release();
		}
	}
}

/** Layers in which sessions recall, ascending. Throws when some of those wanted are none that can. */
export function checkedMemoryLayers(
	config: DecoderConfig,
	wanted: readonly number[] | undefined,
): readonly number[] {
	const able = layersWithoutWindow(config);
	if (wanted === undefined) return able;
	const unable = wanted.filter((layer) => !able.includes(layer));
	if (unable.length > 0 || wanted.length === 0)
		throw new TokError(
			"lm",
			`memoryLayers: expected layers among the ${able.length} of ${config.layers.length} that look back without a limit, ` +
				`got ${wanted.length === 0 ? "none" : unable.join(", ")}. Leave them out for all.`,
		);
	return [...new Set(wanted)].sort((a, b) => a - b);
}
