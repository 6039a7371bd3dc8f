/**
 * The one decoder: a graph that reads token ids and the cache, and returns logits and the fresh keys and values.
 * What differs between architectures comes from the configuration and from the tensors that are there.
 *
 * Activations are rows [batch · tokens, hidden]; only attention sees batch and tokens apart.
 */
import { add, concat, GraphBuilder, mul, reshape, split, transpose, type Value } from "@tok/graph";
import {
	attention,
	type CachedSegment,
	embedding,
	experts,
	gatedMlp,
	head,
	linear,
	type Rotation,
	rmsNorm,
} from "@tok/graph/blocks";
import { type Pairing, ropeFrequencies } from "@tok/rope";
import { type GraphFile, kvNames } from "@tok/runtime";
import type { LayerKind } from "../architectures/architecture.ts";
import type { Precision } from "../model.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { decoderInputs, frameCount, LOGITS } from "./decoder-inputs.ts";
import { DecoderWeights } from "./decoder-weights.ts";
import type { Weights } from "./weights.ts";

type Rows = Value<"float32">; // [batch · tokens, …]

export interface DecoderOptions {
	readonly precision: Precision;
	/** Segments of the cache that the graph attends to. */
	readonly segments: number;
	readonly pairing: Pairing;
}

/** Builds the graph. Reads every weight; throws when one is missing or has another shape than the configuration. */
export function buildDecoder(config: DecoderConfig, stored: Weights, options: DecoderOptions): GraphFile {
	const graph = new GraphBuilder(config.architecture);
	const weights = new DecoderWeights(graph, config, stored, options.precision);
	const step = new StepInputs(graph, config, options);
	const fresh: Value<"float32">[] = [];
	let x = embedding(step.ids, weights.embeddings()); // [batch · tokens, hidden]
	if (config.embeddingScale !== 1) x = mul(x, config.embeddingScale);
	config.layers.forEach((kind, layer) => {
		x = graph.scope(`layers.${layer}`, () => decoderLayer(x, { config, weights, step, kind, layer, fresh }));
	});
	const output = { norm: weights.norm("norm"), epsilon: config.epsilon, weight: weights.head() };
	graph.output(head(x, step.logitRows, output), LOGITS);
	graph.output(concat(fresh, 1), kvNames.fresh);
	return graph.build();
}

interface LayerContext {
	readonly config: DecoderConfig;
	readonly weights: DecoderWeights;
	readonly step: StepInputs;
	readonly kind: LayerKind;
	readonly layer: number;
	/** Collects each layer's keys, then its values. */
	readonly fresh: Value<"float32">[];
}

/** One layer: x + attention(norm(x)), then x + mlp(norm(x)), with norms where the architecture has them. */
function decoderLayer(x: Rows, context: LayerContext): Rows {
	const { config, weights, layer } = context;
	const { beforeAttention, afterAttention, beforeMlp, afterMlp } = config.norms;
	const normed = (name: string | undefined, value: Rows): Rows =>
		name === undefined ? value : rmsNorm(value, weights.norm(`layers.${layer}.${name}`), config.epsilon);
	const attended = add(x, normed(afterAttention, selfAttention(normed(beforeAttention, x), context)));
	return add(attended, normed(afterMlp, feedForward(normed(beforeMlp, attended), context)));
}

function selfAttention(x: Rows, { config, weights, step, kind, layer, fresh }: LayerContext): Rows {
	const { queryHeads, kvHeads, headDim, epsilon } = config;
	const projected = split(
		linear(x, weights.queryKeyValue(layer)),
		[queryHeads * headDim, kvHeads * headDim, kvHeads * headDim],
		-1,
	) as [Rows, Rows, Rows];
	const norms = weights.queryKeyNorms(layer);
	const heads = (rows: Rows, count: number, norm?: Value<"float32">): Value<"float32"> => {
		// A norm is over one head or over all of them, as long as its weight.
		const whole = norm !== undefined && norm.shape[0] !== headDim;
		const normed = whole ? rmsNorm(rows, norm, epsilon) : rows;
		const apart = reshape(normed, ["batch", "tokens", count, headDim]);
		return transpose(norm === undefined || whole ? apart : rmsNorm(apart, norm, epsilon), [0, 2, 1, 3]);
	};
	const value = heads(projected[2], kvHeads);
	const attended = attention({
		query: heads(projected[0], queryHeads, norms?.query),
		key: heads(projected[1], kvHeads, norms?.key),
		value,
		rotation: step.freshRotation(kind),
		segments: step.segments(kind, layer),
		mask: step.mask(kind),
		scale: config.attentionScale,
		sinks: weights.sinks(layer),
	});
	fresh.push(attended.key, value);
	const merged = reshape(transpose(attended.output, [0, 2, 1, 3]), [-1, queryHeads * headDim]);
	return linear(merged, weights.attentionOutput(layer));
}

function feedForward(x: Rows, { config, weights, layer }: LayerContext): Rows {
	if (config.experts !== undefined) return experts(x, weights.experts(layer, config.experts));
	return gatedMlp(x, { ...weights.mlp(layer), activation: config.activation });
}

/** What a step feeds besides the cache, and how the layers share it. */
class StepInputs {
	readonly ids: Value<"int64">; // [batch, tokens]
	readonly logitRows: Value<"int64">; // [logitRows]
	readonly #graph: GraphBuilder;
	readonly #config: DecoderConfig;
	readonly #segments: number;
	readonly #rotations = new Map<number, Rotation[]>(); // rope → frames
	readonly #masks = new Map<number | undefined, Value<"float32">>(); // window → mask

	constructor(graph: GraphBuilder, config: DecoderConfig, { segments, pairing }: DecoderOptions) {
		this.#graph = graph;
		this.#config = config;
		this.#segments = segments;
		this.ids = graph.input(decoderInputs.ids, "int64", ["batch", "tokens"]);
		this.logitRows = graph.input(decoderInputs.logitRows, "int64", ["logitRows"]);
		const used = new Set(config.layers.map(({ rope }) => rope));
		const rows = graph.input(decoderInputs.angleRows, "int64", ["batch", "tokens"]);
		config.ropes.forEach((options, rope) => {
			if (!used.has(rope)) return;
			const { rotaryDim } = ropeFrequencies(options);
			const angles = (name: string): Value<"float32"> =>
				graph.input(name, "float32", ["batch*tokens", rotaryDim / 2]);
			const frames = Array.from({ length: frameCount(segments) }, (_, frame) => ({
				cos: angles(decoderInputs.cos(rope, frame)),
				sin: angles(decoderInputs.sin(rope, frame)),
				rows,
				rotaryDim,
				pairing,
			}));
			this.#rotations.set(rope, frames);
		});
		for (const { window } of config.layers) {
			if (this.#masks.has(window)) continue;
			const parts = Array.from({ length: segments + 1 }, (_, part) =>
				graph.input(decoderInputs.mask(window, part), "float32", [
					"batch",
					1,
					"tokens",
					part < segments ? `slots.${part}` : "tokens",
				]),
			);
			this.#masks.set(window, concat(parts, 3));
		}
	}

	freshRotation({ rope }: LayerKind): Rotation | undefined {
		return this.#frames(rope).at(-1);
	}

	/** The cache of one layer, as inputs. */
	segments({ rope }: LayerKind, layer: number): CachedSegment[] {
		const { kvHeads, headDim } = this.#config;
		return Array.from({ length: this.#segments }, (_, segment) => {
			const slots = `slots.${segment}`;
			return {
				key: this.#graph.input(kvNames.key(segment, layer), "float32", ["batch", kvHeads, headDim, slots]),
				value: this.#graph.input(kvNames.value(segment, layer), "float32", [
					"batch",
					kvHeads,
					slots,
					headDim,
				]),
				rotation: this.#frames(rope)[segment],
			};
		});
	}

	mask({ window }: LayerKind): Value<"float32"> {
		return this.#masks.get(window) as Value<"float32">;
	}

	#frames(rope: number | undefined): readonly Rotation[] {
		return rope === undefined ? [] : (this.#rotations.get(rope) ?? []);
	}
}
