/**
 * The oracle for streaming: a decoder in plain loops and float64 that keeps un-rotated keys in a list, drops entries
 * from the list, and rotates every key and query afresh at every step. It shares no code with the decoder that it
 * checks but the readers of files, and scaled rotary frequencies, which have goldens of their own. Its arithmetic is
 * transformers': see the models' `modeling_*.py`.
 */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { ropeFrequencies, ropeOptionsFromConfig } from "@tok/rope";
import { openTensorFile } from "./open-tensor-file.ts";

type Vector = Float64Array;

export interface ReferencePolicy {
	readonly sinks: number;
	/** Entries kept besides; Infinity keeps all. */
	readonly rolling: number;
	readonly positions: "in-cache" | "original";
	/** Archives what the window drops. */
	readonly memory?: {
		readonly capacity: number;
		readonly recall: number;
		readonly blockSize: number;
		/** Tokens for which a choice holds. Defaults to 1. */
		readonly every?: number;
		/** The queries that choose. Defaults to "unrotated". */
		readonly chosenBy?: "unrotated" | "rotated";
		/** Which blocks leave a full archive. Defaults to the oldest. */
		readonly eviction?: "oldest" | "least-recalled";
	};
	/** Merges what the archive, or without one the window, drops. */
	readonly compressive?: {
		readonly slots: number;
		readonly rate: number;
		readonly compressor: "mean" | "max" | "most-used" | Merge;
	};
}

/** What a compressor makes of a group's keys or values of a layer, [kvHeads · headDim] each, the oldest first. */
export type Merge = (group: readonly Vector[], layer: number, kind: "key" | "value") => Vector;

interface Config {
	readonly model_type: string;
	readonly hidden_size: number;
	readonly num_hidden_layers: number;
	readonly num_attention_heads: number;
	readonly num_key_value_heads: number;
	readonly head_dim?: number | null;
	readonly rms_norm_eps: number;
	readonly sliding_window?: number | null;
	readonly layer_types?: readonly string[];
	readonly no_rope_layers?: readonly number[];
	readonly query_pre_attn_scalar?: number;
	readonly rope_local_base_freq?: number;
	readonly num_local_experts?: number;
	readonly num_experts_per_tok?: number;
}

interface Rope {
	readonly frequencies: Float64Array;
	readonly factor: number;
}

/**
 * What a retained token left: per layer its key, un-rotated, and its value, [kvHeads · headDim] each, and the attention
 * that fell on it since, [kvHeads].
 */
export interface Entry {
	readonly index: number;
	readonly layers: { readonly key: Vector; readonly value: Vector; readonly mass: Vector }[];
}

/** What a policy retains, each list from old to new. */
interface Held {
	readonly sinks: Entry[];
	readonly merged: Entry[];
	readonly archive: Entry[];
	readonly window: Entry[];
	/** By layer and group, the token that chose last and what it chose. */
	readonly choices: Map<string, { readonly at: number; readonly entries: readonly Entry[] }>;
	/** By the first entry of each archived block, how often it has been recalled. */
	readonly recalls: Map<Entry, number>;
}

/** Attention of token `token`, by one query head of layer `layer`, on the archived token `on`. */
export type OnRecall = (token: number, layer: number, on: number, weight: number) => void;

/** Attention of token `token`, by query head `head` of layer `layer`; all of it together is 1. */
export type OnAttention = (token: number, layer: number, head: number, on: ReferenceAttention) => void;

export interface ReferenceAttention {
	/** By the token that left the entry, or the first of those that were merged; itself included. */
	readonly entries: ReadonlyMap<number, number>;
	/** On all that was recalled. */
	readonly recalled: number;
	/** On a learned sink. */
	readonly learned: number;
}

export interface ReferenceOptions {
	readonly onRecall?: OnRecall;
	readonly onAttention?: OnAttention;
	/** What the archive holds before the first token. Defaults to nothing. */
	readonly archive?: readonly Entry[];
}

export class ReferenceDecoder {
	readonly #config: Config;
	readonly #headDim: number;
	readonly #tensors = new Map<string, Float32Array>();

	/** A folder in transformers' layout. */
	constructor(folder: string) {
		this.#config = JSON.parse(readFileSync(join(folder, "config.json"), "utf8"));
		this.#headDim = this.#config.head_dim ?? this.#config.hidden_size / this.#config.num_attention_heads;
		using file = openTensorFile(folder);
		for (const name of file.tensors.keys()) this.#tensors.set(name, file.read(name));
	}

	/** The logits after each token of a stream, [length, vocabulary]. */
	read(
		stream: readonly number[],
		policy: ReferencePolicy,
		{ archive = [], ...told }: ReferenceOptions = {},
	): Vector[] {
		return this.#play(stream, policy, { held: empty(archive), told });
	}

	/** What reading a stream leaves to other streams: its archive, and the whole blocks of its window. */
	archiveOf(stream: readonly number[], policy: ReferencePolicy): readonly Entry[] {
		const held = empty([]);
		this.#play(stream, policy, { held, told: {} });
		const { window, archive } = held;
		return [
			...archive,
			...window.slice(0, window.length - (window.length % (policy.memory?.blockSize ?? 1))),
		];
	}

	#play(
		stream: readonly number[],
		policy: ReferencePolicy,
		{ held, told }: { readonly held: Held; readonly told: Told },
	): Vector[] {
		return stream.map((id, index) => {
			const entry: Entry = { index, layers: [] };
			const fallen: Fallen[] = [];
			const logits = this.#step(id, held, entry, policy, { told, fallen });
			keep(held, entry, policy);
			// What leaves with a token was chosen by what had fallen before it.
			for (const { on, layer, group, weight } of fallen) {
				const { mass } = on.layers[layer] as Entry["layers"][0];
				mass[group] = (mass[group] as number) + weight;
			}
			return logits;
		});
	}

	#step(
		id: number,
		held: Held,
		entry: Entry,
		policy: ReferencePolicy,
		watch: Pick<View, "told" | "fallen">,
	): Vector {
		const { hidden_size, num_hidden_layers, model_type } = this.#config;
		const retained = [...held.sinks, ...held.merged, ...held.window];
		// A merged entry has no place in the stream: it counts where it stands.
		const distances = retained.map((each, rank) =>
			policy.positions === "in-cache" || held.merged.includes(each)
				? retained.length - rank
				: entry.index - each.index,
		);
		const at = policy.positions === "in-cache" ? retained.length : entry.index;
		const view: View = { retained, distances, at, held, policy, entry, ...watch };
		const table = this.#tensor("model.embed_tokens.weight");
		const scale = model_type === "gemma3_text" ? Math.sqrt(hidden_size) : 1;
		let x = Float64Array.from(table.subarray(id * hidden_size, (id + 1) * hidden_size), (w) => w * scale);
		for (let layer = 0; layer < num_hidden_layers; layer++) {
			const name = (rest: string): string => `model.layers.${layer}.${rest}`;
			const norm = (rest: string, value: Vector): Vector =>
				this.#norm(this.#tensor(name(`${rest}.weight`)), value);
			const attend = (value: Vector): Vector => this.#attention(layer, value, view);
			const mlp = (value: Vector): Vector => this.#mlp(name("mlp"), value);
			if (model_type === "gemma3_text") {
				x = sum(x, norm("post_attention_layernorm", attend(norm("input_layernorm", x))));
				x = sum(x, norm("post_feedforward_layernorm", mlp(norm("pre_feedforward_layernorm", x))));
			} else if (model_type.startsWith("olmo")) {
				x = sum(x, norm("post_attention_layernorm", attend(x)));
				x = sum(x, norm("post_feedforward_layernorm", mlp(x)));
			} else {
				x = sum(x, attend(norm("input_layernorm", x)));
				x = sum(x, mlp(norm("post_attention_layernorm", x)));
			}
		}
		const head = this.#tensors.get("lm_head.weight") ?? table;
		return product(head, this.#norm(this.#tensor("model.norm.weight"), x));
	}

	#attention(layer: number, x: Vector, view: View): Vector {
		const { retained, distances, at: own, held, policy, entry, told, fallen } = view;
		const { num_attention_heads: heads, num_key_value_heads: kvHeads, query_pre_attn_scalar } = this.#config;
		const dim = this.#headDim;
		const [query, key, value] = this.#queryKeyValue(layer, x);
		entry.layers.push({ key, value, mass: new Float64Array(kvHeads) });
		const rope = this.#rope(layer);
		const window = this.#window(layer);
		const scale = (query_pre_attn_scalar ?? dim) ** -0.5;
		const sinks = this.#tensors.get(`model.layers.${layer}.self_attn.sinks`);
		const output = new Float64Array(heads * dim);
		const part = (vector: Vector, which: number): Vector => vector.slice(which * dim, (which + 1) * dim);
		const per = heads / kvHeads;
		for (let group = 0; group < kvHeads; group++) {
			const of = ({ layers }: Entry): { key: Vector; value: Vector } => {
				const { key, value } = layers[layer] as Entry["layers"][0];
				return { key: part(key, group), value: part(value, group) };
			};
			const queries = Array.from({ length: per }, (_, i) => part(query, group * per + i));
			const seen = [...retained, entry].flatMap((each, i) => {
				const distance = distances[i] ?? 0;
				return distance < window ? [{ ...of(each), distance, on: each }] : [];
			});
			const recalledFrom = seen.length;
			const recalledOf: number[] = [];
			// A layer with a window of its own remembers nothing beyond it.
			if (policy.memory !== undefined && window === Number.POSITIVE_INFINITY) {
				const { every = 1, chosenBy } = policy.memory;
				const name = `${layer}.${group}`;
				let choice = held.choices.get(name);
				if (choice === undefined || entry.index >= choice.at + every) {
					// Keys at position 0, where yarn's factor still counts; queries there too, or as far away as they attend from.
					const distance = chosenBy === "rotated" ? policy.rolling : 0;
					const asking = queries.map((each) => rotate(each, distance, rope));
					const asked = held.archive.map((each) => rotate(of(each).key, 0, rope));
					const best = recalled(asking, asked, scale, policy.memory);
					choice = { at: entry.index, entries: best.map((i) => held.archive[i] as Entry) };
					held.choices.set(name, choice);
				}
				for (const each of choice.entries) {
					if (!held.archive.includes(each)) continue;
					const before = held.recalls.get(each);
					if (before !== undefined) held.recalls.set(each, before + 1);
					seen.push({ ...of(each), distance: policy.rolling, on: each });
					recalledOf.push(each.index);
				}
			}
			queries.forEach((each, i) => {
				const head = group * per + i;
				const scores = seen.map(
					({ key, distance }) => scale * dot(rotate(each, own, rope), rotate(key, own - distance, rope)),
				);
				if (sinks !== undefined) scores.push(sinks[head] as number);
				const weights = softmax(scores);
				seen.forEach(({ on }, i) => {
					fallen.push({ on, layer, group, weight: weights[i] as number });
				});
				recalledOf.forEach((on, i) => {
					told.onRecall?.(entry.index, layer, on, weights[recalledFrom + i] as number);
				});
				told.onAttention?.(entry.index, layer, head, {
					entries: new Map(seen.slice(0, recalledFrom).map(({ on }, i) => [on.index, weights[i] as number])),
					recalled: weights.slice(recalledFrom, seen.length).reduce((total, weight) => total + weight, 0),
					learned: weights[seen.length] ?? 0,
				});
				for (let d = 0; d < dim; d++)
					output[head * dim + d] = seen.reduce(
						(total, { value }, i) => total + (weights[i] as number) * (value[d] as number),
						0,
					);
			});
		}
		return this.#linear(`model.layers.${layer}.self_attn.o_proj`, output);
	}

	#queryKeyValue(layer: number, x: Vector): [Vector, Vector, Vector] {
		const { num_attention_heads: heads, num_key_value_heads: kvHeads } = this.#config;
		const prefix = `model.layers.${layer}.self_attn`;
		const dim = this.#headDim;
		const fused = this.#tensors.has(`${prefix}.qkv_proj.weight`);
		const all = fused ? this.#linear(`${prefix}.qkv_proj`, x) : undefined;
		const ends = [heads * dim, (heads + kvHeads) * dim, (heads + 2 * kvHeads) * dim] as const;
		const [query, key, value] = (["q", "k", "v"] as const).map(
			(which, i) =>
				all?.slice(i === 0 ? 0 : ends[i - 1], ends[i]) ?? this.#linear(`${prefix}.${which}_proj`, x),
		) as [Vector, Vector, Vector];
		const normed = (which: string, vector: Vector): Vector => {
			const weight = this.#tensors.get(`${prefix}.${which}_norm.weight`);
			if (weight === undefined) return vector;
			const out = new Float64Array(vector.length);
			for (let from = 0; from < vector.length; from += weight.length)
				out.set(this.#norm(weight, vector.slice(from, from + weight.length)), from);
			return out;
		};
		return [normed("q", query), normed("k", key), value];
	}

	#window(layer: number): number {
		const { model_type, layer_types, sliding_window } = this.#config;
		const everywhere = model_type === "mistral" || model_type === "phi3";
		const sliding = layer_types === undefined ? everywhere : layer_types[layer] === "sliding_attention";
		return (sliding ? sliding_window : undefined) ?? Number.POSITIVE_INFINITY;
	}

	#rope(layer: number): Rope | undefined {
		const config = this.#config;
		const dim = this.#headDim;
		if (config.no_rope_layers?.[layer] === 0) return undefined;
		const unscaled = (base: number): Rope => ({
			frequencies: Float64Array.from({ length: dim / 2 }, (_, i) => base ** ((-2 * i) / dim)),
			factor: 1,
		});
		const record: Readonly<Record<string, unknown>> = { ...config };
		const base = record.rope_theta as number;
		if (config.layer_types?.[layer] === "sliding_attention") {
			if (config.model_type === "gemma3_text") return unscaled(config.rope_local_base_freq as number);
			if (config.model_type === "olmo3") return unscaled(base);
		}
		if (record.rope_scaling === null || record.rope_scaling === undefined) return unscaled(base);
		const { inverseFrequencies, attentionFactor } = ropeFrequencies(ropeOptionsFromConfig(record));
		return { frequencies: inverseFrequencies, factor: attentionFactor };
	}

	#mlp(prefix: string, x: Vector): Vector {
		if (this.#config.num_local_experts !== undefined) return this.#experts(prefix, x);
		const fused = this.#tensors.has(`${prefix}.gate_up_proj.weight`);
		const both = fused ? this.#linear(`${prefix}.gate_up_proj`, x) : undefined;
		const gate = both?.slice(0, both.length / 2) ?? this.#linear(`${prefix}.gate_proj`, x);
		const up = both?.slice(both.length / 2) ?? this.#linear(`${prefix}.up_proj`, x);
		const activation = this.#config.model_type === "gemma3_text" ? gelu : silu;
		return this.#linear(
			`${prefix}.down_proj`,
			gate.map((g, i) => activation(g) * (up[i] as number)),
		);
	}

	#experts(prefix: string, x: Vector): Vector {
		const { hidden_size: hidden, num_experts_per_tok: active = 0 } = this.#config;
		const routes = this.#linear(`${prefix}.router`, x);
		const best = [...routes.keys()]
			.sort((a, b) => (routes[b] as number) - (routes[a] as number))
			.slice(0, active);
		const weights = softmax(best.map((expert) => routes[expert] as number));
		const gateUp = this.#tensor(`${prefix}.experts.gate_up_proj`); // [experts, hidden, 2 · inner]
		const gateUpBias = this.#tensor(`${prefix}.experts.gate_up_proj_bias`);
		const down = this.#tensor(`${prefix}.experts.down_proj`); // [experts, inner, hidden]
		const downBias = this.#tensor(`${prefix}.experts.down_proj_bias`);
		const inner = gateUpBias.length / routes.length / 2;
		const output = new Float64Array(hidden);
		best.forEach((expert, rank) => {
			const both = intoColumns(gateUp.subarray(expert * hidden * 2 * inner), x, 2 * inner);
			const raised = Float64Array.from({ length: inner }, (_, i) => {
				const biased = (at: number): number =>
					(both[at] as number) + (gateUpBias[expert * 2 * inner + at] as number);
				const gate = Math.min(biased(2 * i), 7);
				const up = Math.max(-7, Math.min(biased(2 * i + 1), 7));
				return ((up + 1) * gate) / (1 + Math.exp(-1.702 * gate));
			});
			intoColumns(down.subarray(expert * inner * hidden), raised, hidden).forEach((value, i) => {
				const biased = value + (downBias[expert * hidden + i] as number);
				output[i] = (output[i] as number) + (weights[rank] as number) * biased;
			});
		});
		return output;
	}

	#norm(weight: Float32Array, x: Vector): Vector {
		const offset = this.#config.model_type === "gemma3_text" ? 1 : 0;
		const scale = 1 / Math.sqrt(dot(x, x) / x.length + this.#config.rms_norm_eps);
		return x.map((value, i) => value * scale * ((weight[i] as number) + offset));
	}

	#linear(name: string, x: Vector): Vector {
		const bias = this.#tensors.get(`${name}.bias`);
		const y = product(this.#tensor(`${name}.weight`), x);
		return bias === undefined ? y : y.map((value, i) => value + (bias[i] as number));
	}

	#tensor(name: string): Float32Array {
		const tensor = this.#tensors.get(name);
		if (tensor === undefined) throw new Error(`no tensor ${name}`);
		return tensor;
	}
}

function empty(archive: readonly Entry[]): Held {
	const [choices, recalls] = [new Map(), new Map()];
	return { sinks: [], merged: [], archive: [...archive], window: [], choices, recalls };
}

/** A token's view of the cache: `distances` of what is retained, its own position. */
interface View {
	readonly retained: readonly Entry[];
	readonly distances: readonly number[];
	readonly at: number;
	readonly held: Held;
	readonly policy: ReferencePolicy;
	readonly entry: Entry;
	readonly told: Told;
	/** Collects the attention of every query head. */
	readonly fallen: Fallen[];
}

interface Fallen {
	readonly on: Entry;
	readonly layer: number;
	readonly group: number;
	readonly weight: number;
}

type Told = Pick<ReferenceOptions, "onRecall" | "onAttention">;

/** Takes an entry in, and lets the lists drop what is too much for them: whole groups, from list to list. */
function keep(held: Held, entry: Entry, { sinks, rolling, memory, compressive }: ReferencePolicy): void {
	(held.sinks.length < sinks ? held.sinks : held.window).push(entry);
	const merge = (from: Entry[], most: number): void => {
		if (compressive === undefined) from.splice(0, Math.max(0, from.length - most));
		else
			while (from.length - most >= compressive.rate)
				held.merged.push(merged(from.splice(0, compressive.rate), compressive.compressor));
		held.merged.splice(0, Math.max(0, held.merged.length - (compressive?.slots ?? 0)));
	};
	if (memory === undefined) {
		merge(held.window, rolling);
		return;
	}
	while (held.window.length - rolling >= memory.blockSize) {
		held.recalls.set(held.window[0] as Entry, 0);
		held.archive.push(...held.window.splice(0, memory.blockSize));
	}
	if (memory.eviction === "least-recalled") {
		forget(held, memory);
		return;
	}
	if (compressive !== undefined) merge(held.archive, memory.capacity);
	else while (held.archive.length > memory.capacity) held.archive.splice(0, memory.blockSize);
}

/** Lets the blocks leave that have been recalled least, but for the newest half: an eighth or 128 tokens at a time. */
function forget(
	{ archive, recalls }: Held,
	{ capacity, blockSize }: { readonly capacity: number; readonly blockSize: number },
): void {
	const excess = (archive.length - capacity) / blockSize;
	if (excess <= 0) return;
	const count = Math.max(excess, Math.min(Math.floor(128 / blockSize), Math.floor(capacity / blockSize / 8)));
	const before = recalls.size;
	const blocks = [...recalls];
	const newest = blocks.splice(blocks.length - Math.floor(capacity / blockSize / 2));
	// A stable sort: of equals the one that came first.
	const least = (all: typeof blocks): typeof blocks => all.sort(([, a], [, b]) => a - b);
	for (const [first] of [...least(blocks), ...least(newest)].slice(0, count)) {
		recalls.delete(first);
		archive.splice(archive.indexOf(first), blockSize);
	}
	for (const [first, count] of recalls) recalls.set(first, count * (recalls.size / before));
}

function merged(group: readonly Entry[], compressor: "mean" | "max" | "most-used" | Merge): Entry {
	if (compressor === "most-used") return mostUsed(group);
	const channels: Merge = (vectors) =>
		(vectors[0] as Vector).map((_, d) => {
			const channel = vectors.map((vector) => vector[d] as number);
			return compressor === "max" ? Math.max(...channel) : channel.reduce((a, b) => a + b) / channel.length;
		});
	const merge = typeof compressor === "function" ? compressor : channels;
	const [first] = group as [Entry];
	const layers = first.layers.map((_, layer) => {
		const of = (kind: "key" | "value"): Vector =>
			merge(
				group.map(({ layers }) => (layers[layer] as Entry["layers"][0])[kind]),
				layer,
				kind,
			);
		return {
			key: of("key"),
			value: of("value"),
			mass: new Float64Array(first.layers[layer]?.mass.length ?? 0),
		};
	});
	return { index: first.index, layers };
}

/** In each layer and key/value head the entry on which most attention fell. */
function mostUsed(group: readonly Entry[]): Entry {
	const [first] = group as [Entry];
	const layers = first.layers.map(({ key, mass }, layer) => {
		const dim = key.length / mass.length;
		const all = group.map(({ layers }) => layers[layer] as Entry["layers"][0]);
		const best = [...mass.keys()].map((head) =>
			all.reduce((a, b) => ((b.mass[head] as number) > (a.mass[head] as number) ? b : a)),
		);
		const of = (kind: "key" | "value"): Vector =>
			key.map((_, d) => best[Math.floor(d / dim)]?.[kind][d] as number);
		return { key: of("key"), value: of("value"), mass: new Float64Array(mass.length) };
	});
	return { index: first.index, layers };
}

/** Indices of the entries of the blocks with the most softmax mass, over all heads of a group. */
function recalled(
	queries: readonly Vector[],
	keys: readonly Vector[],
	scale: number,
	{ recall, blockSize }: { readonly recall: number; readonly blockSize: number },
): number[] {
	const mass = new Float64Array(keys.length / blockSize);
	for (const query of queries)
		softmax(keys.map((key) => scale * dot(query, key))).forEach((weight, i) => {
			const block = Math.floor(i / blockSize);
			mass[block] = (mass[block] as number) + weight;
		});
	const best = [...mass.keys()].sort((a, b) => (mass[b] as number) - (mass[a] as number)).slice(0, recall);
	return best.flatMap((block) => Array.from({ length: blockSize }, (_, i) => block * blockSize + i));
}

/** Rotates x[i] with x[i + n] for the n frequencies; the rest passes through. */
function rotate(x: Vector, position: number, rope: Rope | undefined): Vector {
	if (rope === undefined) return x;
	const { frequencies, factor } = rope;
	const half = frequencies.length;
	return x.map((value, i) => {
		if (i >= 2 * half) return value;
		const angle = position * (frequencies[i % half] as number);
		const partner = i < half ? -(x[i + half] as number) : (x[i - half] as number);
		return factor * (value * Math.cos(angle) + partner * Math.sin(angle));
	});
}

/** [rows, columns] · [columns] */
function product(matrix: Float32Array, x: Vector): Vector {
	const columns = x.length;
	return Float64Array.from({ length: matrix.length / columns }, (_, row) => {
		let total = 0;
		for (let i = 0; i < columns; i++) total += (matrix[row * columns + i] as number) * (x[i] as number);
		return total;
	});
}

/** [rows] · [rows, columns] */
function intoColumns(matrix: Float32Array, x: Vector, columns: number): Vector {
	const out = new Float64Array(columns);
	x.forEach((value, row) => {
		for (let i = 0; i < columns; i++)
			out[i] = (out[i] as number) + value * (matrix[row * columns + i] as number);
	});
	return out;
}

function dot(a: Vector, b: Vector): number {
	let total = 0;
	for (let i = 0; i < a.length; i++) total += (a[i] as number) * (b[i] as number);
	return total;
}

function sum(a: Vector, b: Vector): Float64Array<ArrayBuffer> {
	return Float64Array.from(a, (value, i) => value + (b[i] as number));
}

function softmax(scores: readonly number[]): number[] {
	const most = Math.max(...scores);
	const shares = scores.map((score) => Math.exp(score - most));
	const total = shares.reduce((a, b) => a + b, 0);
	return shares.map((share) => share / total);
}

function silu(x: number): number {
	return x / (1 + Math.exp(-x));
}

/** transformers' gelu_pytorch_tanh. */
function gelu(x: number): number {
	return 0.5 * x * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x ** 3)));
}
