/**
 * R20: a stream read in chunks over sinks and a ring, cache in and fresh rows out, against attention written down
 * as a sum over the tokens that each query sees. Two layers, grouped heads, no positions.
 */
import { concat, GraphBuilder, mul, reshape } from "@tok/graph";
import { attention } from "@tok/graph/blocks";
import { type GraphFile, type KvShape, type KvWrite, kvNames, type Tensor } from "../runtime.ts";
import { type ConformanceCase, conformanceCase, expectClose } from "./conformance-case.ts";
import { cacheInputs } from "./graphs.ts";
import { floats, Numbers } from "./tensors.ts";

const queryHeads = 4;
const sinks = 2;
const ring = 5;
const shape: KvShape = { layers: 2, kvHeads: 2, headDim: 8, slots: [sinks, ring] };
const scale = shape.headDim ** -0.5;
/** Finite, as WGSL lets an implementation assume that there are no infinities; its softmax weight is exactly 0. */
const MASKED = -1e30;
/** Softmax in float32 against float64: weights of at most 1 over at most 12 entries of at most 1. */
const TOLERANCE = 1e-5;

/** Per layer: query [tokens][queryHeads][headDim], key and value [tokens][kvHeads][headDim]. */
interface Stream {
	readonly query: Float32Array;
	readonly key: Float32Array;
	readonly value: Float32Array;
}

function layerGraph(): GraphFile {
	const { layers, kvHeads, headDim } = shape;
	const graph = new GraphBuilder("layers");
	const mask = graph.input("mask", "float32", [1, 1, 1, "tokens", "slots.0+slots.1+tokens"]);
	const fresh = Array.from({ length: layers }, (_, layer) => {
		const heads = (name: string, count: number) =>
			graph.input(`${name}.${layer}`, "float32", [1, count, "tokens", headDim]);
		const value = heads("value", kvHeads);
		const attended = attention({
			query: mul(heads("query", queryHeads), scale),
			key: heads("key", kvHeads),
			value,
			rotation: undefined,
			segments: shape.slots.map((_, segment) => {
				const [key, cached] = cacheInputs(graph, shape, segment, layer);
				return { key, value: cached, rotation: undefined };
			}),
			mask,
		});
		graph.output(reshape(attended.output, [0, 0, queryHeads, headDim]), `attended.${layer}`);
		return [attended.key, value];
	});
	graph.output(concat(fresh.flat(), 1), kvNames.fresh);
	return graph.build();
}

/** Which token lies in each slot: the sinks' slots, then the ring's. */
class Slots {
	readonly tokens: (number | undefined)[] = new Array<undefined>(sinks + ring).fill(undefined);

	/** Writes for tokens `from`…`to`, of which the last `ring` survive a chunk. */
	take(from: number, to: number): KvWrite[] {
		const writes: KvWrite[] = [];
		for (let token = from; token < to; token++) {
			const isSink = token < sinks;
			if (!isSink && token < to - ring) continue;
			const slot = isSink ? token : (token - sinks) % ring;
			this.tokens[isSink ? slot : sinks + slot] = token;
			writes.push({ segment: isSink ? 0 : 1, row: token - from, slot, length: 1 });
		}
		return writes;
	}
}

/** The query of a token sees the sinks and the `ring` tokens before it, and itself. */
function sees(query: number, token: number): boolean {
	return token <= query && (token < sinks || token >= query - ring);
}

/** Σ over the tokens in sight of softmax(query · key · scale) · value, in float64. */
function reference({ query, key, value }: Stream, token: number, head: number): number[] {
	const { kvHeads, headDim } = shape;
	const kvHead = Math.floor(head / (queryHeads / kvHeads));
	const visible = Array.from({ length: token + 1 }, (_, other) => other).filter((other) =>
		sees(token, other),
	);
	const at = (rows: Float32Array, heads: number, row: number, h: number, d: number): number =>
		rows[(row * heads + h) * headDim + d] as number;
	const weights = visible.map((other) => {
		let dot = 0;
		for (let d = 0; d < headDim; d++)
			dot += at(query, queryHeads, token, head, d) * at(key, kvHeads, other, kvHead, d);
		return Math.exp(dot * scale);
	});
	const total = weights.reduce((sum, weight) => sum + weight, 0);
	return Array.from({ length: headDim }, (_, d) =>
		visible.reduce(
			(sum, other, i) => sum + ((weights[i] as number) / total) * at(value, kvHeads, other, kvHead, d),
			0,
		),
	);
}

/** Rows from…to of [tokens][heads][headDim] as [1, heads, tokens, headDim]. */
function headsFirst(rows: Float32Array, heads: number, from: number, to: number): Tensor<"float32"> {
	const { headDim } = shape;
	const values: number[] = [];
	for (let head = 0; head < heads; head++)
		for (let row = from; row < to; row++)
			for (let d = 0; d < headDim; d++) values.push(rows[(row * heads + head) * headDim + d] as number);
	return floats([1, heads, to - from, headDim], values);
}

export const attentionCases: readonly ConformanceCase[] = [
	conformanceCase(
		"R20a",
		"attention over a bounded cache equals attention over the tokens in sight",
		async (runtime) => {
			const { layers, kvHeads, headDim } = shape;
			const chunks = [1, 1, 3, 4, 1, 2, 1, 1, 5, 1]; // 20 tokens: the ring wraps three times
			const length = chunks.reduce((sum, chunk) => sum + chunk, 0);
			const numbers = new Numbers(20);
			const rows = (heads: number): Float32Array => numbers.tensor([length, heads, headDim]).data;
			const streams = Array.from(
				{ length: layers },
				(): Stream => ({ query: rows(queryHeads), key: rows(kvHeads), value: rows(kvHeads) }),
			);
			const graph = await runtime.loadGraph(layerGraph());
			const store = runtime.createKvStore(shape);
			const slots = new Slots();
			let from = 0;
			for (const chunk of chunks) {
				const to = from + chunk;
				const fresh = Array.from({ length: chunk }, (_, i) => from + i);
				const entries = [...slots.tokens, ...fresh];
				const mask = fresh.flatMap((query) =>
					entries.map((token) => (token !== undefined && sees(query, token) ? 0 : MASKED)),
				);
				const feeds: Record<string, Tensor> = { mask: floats([1, 1, 1, chunk, entries.length], mask) };
				streams.forEach(({ query, key, value }, layer) => {
					feeds[`query.${layer}`] = headsFirst(query, queryHeads, from, to);
					feeds[`key.${layer}`] = headsFirst(key, kvHeads, from, to);
					feeds[`value.${layer}`] = headsFirst(value, kvHeads, from, to);
				});
				const outputs = await graph.run(feeds, { store });
				await store.write(slots.take(from, to));
				streams.forEach((stream, layer) => {
					const expected: number[] = [];
					for (const token of fresh)
						for (let head = 0; head < queryHeads; head++) expected.push(...reference(stream, token, head));
					const got = outputs[`attended.${layer}`]?.data as Float32Array;
					expectClose(`layer ${layer}, tokens ${from}–${to - 1}`, got, expected, TOLERANCE);
				});
				from = to;
			}
		},
	),
];
