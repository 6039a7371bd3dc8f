/**
 * The one decoder: a graph that reads token ids and the cache, and returns logits and the fresh keys and values.
 * What differs between architectures comes from the configuration and from the tensors that are there.
 *
 * Activations are rows [batch · tokens, hidden]; only attention sees batch and tokens apart.
 */
import {
	cast,
	concat,
	type Dim,
	type DType,
	GraphBuilder,
	gather,
	matMul,
	mul,
	reduceSum,
	reshape,
	split,
	transpose,
	type Value,
} from "@tok/graph";
import {
	type AttentionOutput,
	attention,
	type CachedSegment,
	embedding,
	experts,
	gatedMlp,
	type KeptChoices,
	linear,
	type RecallChoices,
	type RecalledSegment,
	type Rotation,
	rmsNorm,
	type Stored,
} from "@tok/graph/blocks";
import { type Pairing, ropeFrequencies } from "@tok/rope";
import { type BlockProducts, type GraphFile, headCount, kvNames } from "@tok/runtime";
import type { LayerKind } from "../architectures/architecture.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import {
	ATTENTION,
	ATTENTION_RECALLING,
	decoderInputs,
	LOGITS,
	MASS_CACHED,
	MASS_FRESH,
	RECALLED_BLOCKS,
	RECALLED_MASS,
} from "./decoder-inputs.ts";
import { DecoderWeights } from "./decoder-weights.ts";
import {
	archiveOf,
	framesOf,
	freshFrame,
	type GraphSegment,
	headCounts,
	isCounted,
	type Recall,
} from "./graph-segments.ts";
import { ResidualStream, type Rows } from "./residual-stream.ts";
import type { WeightMemory } from "./weight-memory.ts";
import type { Weights } from "./weights.ts";

export interface DecoderOptions {
	/** How matrices that stay in blocks are multiplied; undefined dequantises them. */
	readonly blockProducts: BlockProducts | undefined;
	/** Computes in float16, but for the logits and sums of attention. Not with an archive. */
	readonly half: boolean;
	/** Segments of the cache that the graph attends to, in the policy's order. */
	readonly segments: readonly GraphSegment[];
	readonly pairing: Pairing;
	/** The graph tells of the attention of the tokens that are asked for. Defaults to false. */
	readonly attention?: boolean;
	/** Holds the matrices of the graph, until the caller releases it. */
	readonly memory: WeightMemory;
}

/** Builds the graph. Reads every weight; throws when one is missing or has another shape than the configuration. */
export function buildDecoder(config: DecoderConfig, stored: Weights, options: DecoderOptions): GraphFile {
	const graph = new GraphBuilder(config.architecture);
	const weights = new DecoderWeights(graph, config, stored, options);
	const step = new StepInputs(graph, config, options);
	const parts: LayerParts = new Map();
	const embedded = embedding(step.ids, weights.embeddings()); // [batch · tokens, hidden]
	const stream = new ResidualStream(
		config.embeddingScale === 1 ? embedded : mul(embedded, config.embeddingScale),
	);
	config.layers.forEach((kind, layer) => {
		graph.scope(`layers.${layer}`, () =>
			decoderLayer({ graph, config, weights, step, stream, kind, layer, parts }),
		);
	});
	const last = stream.normed(weights.norm("norm"), config.epsilon); // [logitRows, hidden]
	graph.output(
		graph.scope(HEAD, () => linear(last, weights.head())),
		LOGITS,
	);
	for (const [name, ofLayers] of parts)
		graph.output(
			graph.scope(name, () => concat(ofLayers, 1)),
			name,
		);
	return graph.build({ half: options.half ? { except: inFull } : undefined });
}

/** Scope of the product that gives logits. Float16 steps by 1/64 where the likely ones lie. */
const HEAD = "head";

/** Scopes that stay in float32. To a sum in float16 that has grown, small weights of attention add nothing. */
const FULL: ReadonlySet<string> = new Set([HEAD, MASS_CACHED, MASS_FRESH]);

function inFull(node: string): boolean {
	return node.split("/").some((scope) => FULL.has(scope));
}

/** What layers give besides the stream, by the output that has it of all of them, side by side along axis 1. */
type LayerParts = Map<string, Value[]>;

interface LayerContext {
	readonly graph: GraphBuilder;
	readonly config: DecoderConfig;
	readonly weights: DecoderWeights;
	readonly step: StepInputs;
	readonly stream: ResidualStream;
	readonly kind: LayerKind;
	readonly layer: number;
	readonly parts: LayerParts;
}

/** One layer: x + attention(norm(x)), then x + mlp(norm(x)), with norms where the architecture has them. */
function decoderLayer(context: LayerContext): void {
	const { config, weights, step, stream, layer } = context;
	const { beforeAttention, afterAttention, beforeMlp, afterMlp } = config.norms;
	const weight = (name: string): Value<"float32"> => weights.norm(`layers.${layer}.${name}`);
	const enter = (name: string | undefined): Rows =>
		name === undefined ? stream.value() : stream.normed(weight(name), config.epsilon);
	const leave = (name: string | undefined, rows: Rows): void =>
		stream.add(name === undefined ? rows : rmsNorm(rows, weight(name), config.epsilon));
	leave(afterAttention, selfAttention(enter(beforeAttention), context));
	// Past the last keys and values, only the rows whose logits are wanted matter.
	if (layer === config.layers.length - 1) stream.keep(step.logitRows);
	leave(afterMlp, feedForward(enter(beforeMlp), context));
}

function selfAttention(x: Rows, context: LayerContext): Rows {
	const { config, weights, step, kind, layer } = context;
	const { queryHeads, kvHeads, headDim, epsilon } = config;
	const norms = weights.queryKeyNorms(layer);
	// A norm is over one head or over all of them, as long as its weight.
	const whole = norms !== undefined && norms.query.shape[0] !== headDim;
	let projected = linear(x, weights.queryKeyValue(layer)); // [batch · tokens, (queryHeads + 2 · kvHeads) · headDim]
	if (whole) {
		const widths = [queryHeads * headDim, kvHeads * headDim, kvHeads * headDim];
		const [query, key, value] = split(projected, widths, -1) as [Rows, Rows, Rows];
		projected = concat([rmsNorm(query, norms.query, epsilon), rmsNorm(key, norms.key, epsilon), value], -1);
	}
	const apart = reshape(projected, ["batch", step.tokens, queryHeads + 2 * kvHeads, headDim]);
	const heads = split(transpose(apart, [0, 2, 1, 3]), [queryHeads, kvHeads, kvHeads], 1);
	let [query, key, value] = heads as [Value<"float32">, Value<"float32">, Value<"float32">]; // [batch, heads, tokens, headDim]
	if (norms !== undefined && !whole) {
		query = rmsNorm(query, norms.query, epsilon);
		key = rmsNorm(key, norms.key, epsilon);
	}
	const attended = attention({
		query,
		key,
		value,
		rotation: step.freshRotation(kind),
		segments: step.segments(kind, layer),
		archive: step.archive(kind, layer),
		mask: step.mask(kind),
		sinks: weights.sinks(layer),
	});
	collect(context, attended, value);
	return linear(reshape(attended.output, [-1, queryHeads * headDim]), weights.attentionOutput(layer));
}

/** The layer's part of what the graph gives besides logits. */
function collect(
	{ graph, step, parts }: LayerContext,
	{ key, weights, recalled }: AttentionOutput,
	value: Value<"float32">,
): void {
	const give = (name: string, ...values: readonly Value[]): void => {
		parts.set(name, [...(parts.get(name) ?? []), ...values]);
	};
	give(kvNames.fresh, key, value);
	if (recalled !== undefined) {
		give(RECALLED_BLOCKS, recalled.blocks);
		give(RECALLED_MASS, recalled.mass);
	}
	const { attentionRows, countedTokens } = step;
	if (attentionRows !== undefined) {
		const asked = gather(weights.joined, attentionRows, 3); // [batch, kvHeads, group, attended, columns]
		give(recalled === undefined ? ATTENTION : ATTENTION_RECALLING, asked);
	}
	const window = weights.segments.at(-1);
	if (countedTokens === undefined || window === undefined) return;
	for (const [name, of] of [
		[MASS_CACHED, window],
		[MASS_FRESH, weights.fresh],
	] as const) {
		const summed = graph.scope(name, () => matMul(countedTokens, reduceSum(of, [2])));
		give(name, summed); // [batch, kvHeads, rows, entries]
	}
}

function feedForward(x: Rows, { config, weights, layer }: LayerContext): Rows {
	if (config.experts !== undefined) return experts(x, weights.experts(layer, config.experts));
	return gatedMlp(x, { ...weights.mlp(layer), activation: config.activation });
}

/** What a step feeds besides the cache, and how the layers share it. */
class StepInputs {
	readonly ids: Value<"int64">; // [batch, tokens]
	readonly logitRows: Value<"int64">; // [logitRows]
	readonly attentionRows: Value<"int64"> | undefined; // [attended]
	/** With an archive a chunk's tokens are as many choices, times the tokens that share one. */
	readonly tokens: Dim;
	/** [rows, tokens]; undefined where the graph does not report attention. */
	readonly countedTokens: Value<"float32"> | undefined;
	readonly #graph: GraphBuilder;
	readonly #config: DecoderConfig;
	readonly #segments: readonly GraphSegment[];
	readonly #rotations = new Map<number, ReadonlyMap<number, Rotation>>(); // rope → frame → rotation
	readonly #masks = new Map<number | undefined, Value<"float32">>(); // window → mask
	readonly #choices: ReadonlyMap<number, RecallChoices> | undefined; // heads → choices
	readonly #kept: ReadonlyMap<number, KeptChoices> | undefined; // layer → choices of steps before

	constructor(
		graph: GraphBuilder,
		config: DecoderConfig,
		{ segments, pairing, attention = false }: DecoderOptions,
	) {
		this.#graph = graph;
		this.#config = config;
		this.#segments = segments;
		const recall = segments[archiveOf(segments)]?.recall;
		this.tokens = recall === undefined ? "tokens" : "choices*span";
		this.ids = graph.input(decoderInputs.ids, "int64", ["batch", this.tokens]);
		this.logitRows = graph.input(decoderInputs.logitRows, "int64", ["logitRows"]);
		this.attentionRows = attention
			? graph.input(decoderInputs.attentionRows, "int64", ["attended"])
			: undefined;
		const used = new Set(config.layers.map(({ rope }) => rope));
		const rows = graph.input(decoderInputs.angleRows, "int64", ["batch", this.tokens]);
		config.ropes.forEach((options, rope) => {
			if (!used.has(rope)) return;
			const { rotaryDim } = ropeFrequencies(options);
			const angles = (name: string): Value<"float32"> =>
				graph.input(name, "float32", [`batch*${this.tokens}`, rotaryDim / 2]);
			const frames = new Map<number, Rotation>();
			for (const frame of framesOf(segments, rope, config.layers))
				frames.set(frame, {
					cos: angles(decoderInputs.cos(rope, frame)),
					sin: angles(decoderInputs.sin(rope, frame)),
					rows,
					rotaryDim,
					pairing,
				});
			this.#rotations.set(rope, frames);
		});
		for (const { window } of config.layers) {
			if (this.#masks.has(window)) continue;
			const parts = [...segments, undefined].flatMap((segment, part) =>
				segment?.recall === undefined
					? graph.input(decoderInputs.mask(window, part), "float32", [
							"batch",
							1,
							1,
							this.tokens,
							part < segments.length ? `slots.${part}` : this.tokens,
						])
					: [],
			);
			this.#masks.set(window, concat(parts, 4));
		}
		if (recall !== undefined) this.#choices = choiceInputs(graph, config, recall);
		if (recall?.keeps) this.#kept = keptInputs(graph, recall);
		if (isCounted(segments))
			this.countedTokens = graph.input(decoderInputs.countedTokens, "float32", ["rows", this.tokens]);
	}

	freshRotation({ rope }: LayerKind): Rotation | undefined {
		return this.#rotation(rope, freshFrame(this.#segments));
	}

	/** The cache of one layer, as inputs, without its archive. */
	segments({ rope }: LayerKind, layer: number): CachedSegment[] {
		return this.#segments.flatMap(({ recall }, segment) =>
			recall === undefined
				? {
						...this.#cached(layer, segment, this.#config.kvHeads, `slots.${segment}`),
						rotation: this.#rotation(rope, segment),
					}
				: [],
		);
	}

	/** The archive of one layer, if it has one. */
	archive(kind: LayerKind, layer: number): RecalledSegment | undefined {
		const segment = archiveOf(this.#segments);
		const { recall } = this.#segments[segment] ?? {};
		const heads = recall?.parts.find((part) => part.layer === layer)?.heads;
		const choices = this.#choices?.get(heads?.length ?? 0);
		if (recall === undefined || heads === undefined || choices === undefined) return undefined;
		const { blocks, blockSize, rotated } = recall;
		const rope = kind.rope === undefined ? undefined : this.#config.ropes[kind.rope];
		return {
			...this.#cached(layer, segment, heads.length, blockSize === 1 ? "blocks" : `${blockSize}*blocks`),
			heads,
			rotation: this.#rotation(kind.rope, segment),
			blockSize,
			blocks,
			rotatedChoose: rotated,
			gain: rope === undefined ? 1 : ropeFrequencies(rope).attentionFactor,
			choices,
			kept: this.#kept?.get(layer),
		};
	}

	#cached(layer: number, segment: number, heads: number, slots: Dim): { key: Stored; value: Stored } {
		const { headDim } = this.#config;
		const { format = "float32" } = this.#segments[segment] ?? {};
		const stored = (what: "key" | "value", dims: (width: number) => [Dim, Dim]): Stored => {
			const input = <D extends DType>(name: string, dtype: D, width: number): Value<D> =>
				this.#graph.input(name, dtype, ["batch", heads, 1, ...dims(width)]);
			const name = kvNames[what](segment, layer);
			if (format === "float32") return input(name, format, headDim);
			if (format === "float16") return cast(input(name, format, headDim), "float32");
			const scale = kvNames[`${what}Scale`](segment, layer);
			return { codes: input(name, "int8", headDim), scale: input(scale, "float32", 1) };
		};
		return {
			key: stored("key", (width) => [width, slots]),
			value: stored("value", (width) => [slots, width]),
		};
	}

	mask({ window }: LayerKind): Value<"float32"> {
		return this.#masks.get(window) as Value<"float32">;
	}

	#rotation(rope: number | undefined, frame: number): Rotation | undefined {
		return rope === undefined ? undefined : this.#rotations.get(rope)?.get(frame);
	}
}

/** One for each number of heads that layers remember in. */
function choiceInputs(
	graph: GraphBuilder,
	{ headDim }: DecoderConfig,
	{ parts, keeps }: Recall,
): ReadonlyMap<number, RecallChoices> {
	const made = keeps ? "made" : "choices";
	const voters = graph.input(decoderInputs.voters, "int32", [made, "voters"]);
	const mask = graph.input(decoderInputs.blockMask, "float32", ["batch", 1, made, "blocks"]);
	const numbers = graph.input(decoderInputs.blockNumbers, "int32", ["blocks"]);
	const choices = (heads: number): RecallChoices => ({
		voters,
		mask,
		numbers,
		keyRows: graph.input(decoderInputs.keyRows(heads), "int32", ["batch", heads, 1, headDim, 1]),
		valueRows: graph.input(decoderInputs.valueRows(heads), "int32", ["batch", heads, 1, 1]),
	});
	return new Map(headCounts(parts).map((heads) => [heads, choices(heads)]));
}

/** One for each layer that remembers, in the order in which the graph reports what was chosen. */
function keptInputs(graph: GraphBuilder, { parts, blocks: taken }: Recall): ReadonlyMap<number, KeptChoices> {
	const dims = ["batch", headCount(parts), "kept", taken];
	const counts = parts.map(({ heads }) => heads.length);
	const apart = <D extends DType>(x: Value<D>): Value<D>[] =>
		counts.length === 1 ? [x] : split(x, counts, 1);
	const blocks = apart(graph.input(decoderInputs.keptBlocks, "int32", dims));
	const masks = apart(graph.input(decoderInputs.keptMask, "float32", dims));
	const pick = graph.input(decoderInputs.pick, "float32", ["batch", 1, "choices", "kept+made+1"]);
	return new Map(
		parts.map(({ layer }, i) => [
			layer,
			{ blocks: blocks[i] as Value<"int32">, mask: masks[i] as Value<"float32">, pick },
		]),
	);
}
