/**
 * A Llama decoder in the shape that transformers.js runs: ids, the mask and the past go in; logits and the longer past
 * come out, which its loop feeds back. Attention is onnxruntime's GroupQueryAttention, rotation included, as in the
 * exports of today that transformers.js is used with.
 */
import {
	add,
	type BuiltGraph,
	GraphBuilder,
	mul,
	reshape,
	sigmoid,
	simplifiedLayerNormalization,
	slice,
	split,
	type Value,
} from "@tok/graph";
import { groupQueryAttention } from "./group-query-attention.ts";
import { type Dtype, embeddingTable, linear, type Rows } from "./products.ts";
import type { SourceModel } from "./read-weights.ts";

export function buildDecoderWithPast(source: SourceModel, dtype: Dtype): BuiltGraph {
	const { layers, hiddenSize, queryHeads, kvHeads, headDim, vocabularySize } = source.info;
	const { inner, epsilon } = source;
	const graph = new GraphBuilder("decoder");
	const product = (x: Rows, name: string, out: number): Rows => {
		const width = x.shape.at(-1) as number;
		return linear(x, { name, out, inner: width, data: source.weight(name, out * width) }, dtype);
	};
	const norm = (x: Rows, name: string): Rows => {
		const weight = source.weight(name, hiddenSize);
		return simplifiedLayerNormalization(
			x,
			graph.constant(name, { dtype: "float32", dims: [hiddenSize], data: weight }),
			{ epsilon },
		);
	};
	const packed = (queryHeads + 2 * kvHeads) * headDim;

	// transformers.js makes an empty past by the names of its dimensions, of which it knows this one.
	const ids = graph.input("input_ids", "int64", ["batch_size", "tokens"]);
	const mask = graph.input("attention_mask", "int64", ["batch_size", "total"]);
	const attend = groupQueryAttention(graph, source, mask);
	const data = source.weight("embed_tokens", vocabularySize * hiddenSize);
	const table = embeddingTable(
		graph,
		{ name: "embed_tokens", out: vocabularySize, inner: hiddenSize, data },
		dtype,
	);
	let stream = table.rows(reshape(ids, [-1])); // [batch · tokens, hidden]
	const presents: [string, Value][] = [];
	for (let layer = 0; layer < layers; layer++) {
		const name = (part: string): string => `layers.${layer}.${part}`;
		const projected = product(norm(stream, name("input_layernorm")), name("self_attn.qkv"), packed);
		const { output, key, value } = attend(reshape(projected, ["batch_size", "tokens", packed]), layer);
		presents.push([`present.${layer}.key`, key], [`present.${layer}.value`, value]);
		const attended = reshape(output, [-1, queryHeads * headDim]);
		stream = add(stream, product(attended, name("self_attn.o"), hiddenSize));
		const gateUp = product(norm(stream, name("post_attention_layernorm")), name("mlp.gate_up"), 2 * inner);
		const [gate, up] = split(gateUp, 2, -1) as [Rows, Rows];
		stream = add(stream, product(mul(mul(gate, sigmoid(gate)), up), name("mlp.down"), hiddenSize));
	}
	// transformers.js reads the last token's logits; those of a whole prompt would be for nothing.
	const last = slice(reshape(stream, ["batch_size", "tokens", hiddenSize]), { axis: 1, start: -1 }); // [batch_size, 1, hidden]
	const logits = table.head(norm(reshape(last, [-1, hiddenSize]), "norm")); // [batch_size, vocabulary]
	graph.output(reshape(logits, ["batch_size", 1, vocabularySize]), "logits");
	for (const [name, value] of presents) graph.output(value, name);
	return graph.build();
}
