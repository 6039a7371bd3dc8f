/**
 * A decoder's tensors as constants of its graph. Matrices stay quantised in blocks, or everything is
 * dequantised to float32. Projections that share their input are stacked into one matrix.
 */
import type { DType, GraphBuilder, TypedArrays, Value } from "@tok/graph";
import type { ExpertsOptions, ExpertWeight, LinearWeight } from "@tok/graph/blocks";
import type { BlockProducts } from "@tok/runtime";
import type { ExpertsConfig } from "../architectures/architecture.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { type ExpertMatrices, readExperts } from "./expert-tensors.ts";
import { inHalves, quantizeMatrices } from "./quantize-blocks.ts";
import type { WeightMemory } from "./weight-memory.ts";
import type { StoredMatrix, Weights } from "./weights.ts";

export interface MlpWeights {
	readonly gateUp: LinearWeight;
	readonly down: LinearWeight;
}

/** Names and rows of matrices that lie under each other. */
type Parts = readonly (readonly [name: string, rows: number])[];

/**
 * How activations are rounded to 8 bits before a product: with a scale for each block of the weights, for each half of
 * one, or with what that leaves over once more. It shows most in the head, in queries, keys and values, and in the last
 * layer, where finer rounding costs little time. docs/performance.md has what else was tried.
 */
type Rounding = "blocks" | "halves" | "twice";

/** The first rows of a matrix, and what they are multiplied by. */
interface ScaledRows {
	readonly rows: number;
	readonly factor: number;
}

const unscaled: ScaledRows = { rows: 0, factor: 1 };

/** Multiplies the first rows, of `width` numbers each, in place. */
function scaleRows(values: Float32Array, width: number, { rows, factor }: ScaledRows): void {
	if (factor === 1) return;
	for (let i = 0; i < rows * width; i++) values[i] = (values[i] as number) * factor;
}

export interface DecoderWeightsOptions {
	/** How matrices that stay in blocks are multiplied; undefined dequantises them. */
	readonly blockProducts: BlockProducts | undefined;
	readonly memory: WeightMemory;
}

export class DecoderWeights {
	readonly #graph: GraphBuilder;
	readonly #config: DecoderConfig;
	readonly #stored: Weights;
	readonly #blockProducts: BlockProducts | undefined;
	readonly #memory: WeightMemory;
	/** The embedding table, which a tied head shares. */
	#table: LinearWeight | undefined;

	constructor(
		graph: GraphBuilder,
		config: DecoderConfig,
		stored: Weights,
		{ blockProducts, memory }: DecoderWeightsOptions,
	) {
		this.#graph = graph;
		this.#config = config;
		this.#stored = stored;
		this.#blockProducts = blockProducts;
		this.#memory = memory;
	}

	/** [vocabulary, hidden] */
	embeddings(): LinearWeight {
		const { hiddenSize, vocabularySize } = this.#config;
		this.#table ??= this.#linear("embed_tokens", [["embed_tokens", vocabularySize]], hiddenSize, "twice");
		return this.#table;
	}

	/** [vocabulary, hidden]: the file's own, or the embeddings when it holds none. */
	head(): LinearWeight {
		const { hiddenSize, vocabularySize, tiedEmbeddings } = this.#config;
		if (this.#stored.has("lm_head.weight") || tiedEmbeddings === false)
			return this.#linear("lm_head", [["lm_head", vocabularySize]], hiddenSize, "twice");
		return this.embeddings();
	}

	/** [hidden] */
	norm(name: string): Value<"float32"> {
		return this.#normWeight(name, this.#config.hiddenSize);
	}

	/**
	 * [(queryHeads + 2 · kvHeads) · headDim, hidden], fused here or in the file. Queries come out scaled for attention,
	 * unless a norm follows, which then scales them.
	 */
	queryKeyValue(layer: number): LinearWeight {
		const { queryHeads, kvHeads, headDim, hiddenSize, attentionScale } = this.#config;
		const name = (projection: string): string => `layers.${layer}.self_attn.${projection}_proj`;
		const kv = kvHeads * headDim;
		const parts: Parts = this.#stored.has(`${name("qkv")}.weight`)
			? [[name("qkv"), queryHeads * headDim + 2 * kv]]
			: [
					[name("q"), queryHeads * headDim],
					[name("k"), kv],
					[name("v"), kv],
				];
		const factor = this.#hasQueryKeyNorms(layer) ? 1 : attentionScale;
		return this.#linear("self_attn.qkv", parts, hiddenSize, "halves", {
			rows: queryHeads * headDim,
			factor,
		});
	}

	attentionOutput(layer: number): LinearWeight {
		const { queryHeads, headDim, hiddenSize } = this.#config;
		return this.#linear(
			"self_attn.o",
			[[`layers.${layer}.self_attn.o_proj`, hiddenSize]],
			queryHeads * headDim,
			this.#rounding(layer),
		);
	}

	#hasQueryKeyNorms(layer: number): boolean {
		return this.#stored.has(`layers.${layer}.self_attn.q_norm.weight`);
	}

	/** Norms on queries and keys, of one head's width or of all heads'. The queries' scales them for attention. */
	queryKeyNorms(layer: number): { query: Value<"float32">; key: Value<"float32"> } | undefined {
		const name = (which: string): string => `layers.${layer}.self_attn.${which}_norm.weight`;
		if (!this.#hasQueryKeyNorms(layer)) return undefined;
		const weight = (which: string, heads: number, factor: number): Value<"float32"> => {
			const width = this.#stored.info(name(which)).dims[0];
			const dim = width === this.#config.headDim ? width : heads * this.#config.headDim;
			return this.#normWeight(`layers.${layer}.self_attn.${which}_norm`, dim, factor);
		};
		const { queryHeads, kvHeads, attentionScale } = this.#config;
		return { query: weight("q", queryHeads, attentionScale), key: weight("k", kvHeads, 1) };
	}

	/** [queryHeads] */
	sinks(layer: number): Value<"float32"> | undefined {
		const name = `layers.${layer}.self_attn.sinks`;
		if (!this.#stored.has(name)) return undefined;
		const { queryHeads } = this.#config;
		return this.#constant(
			"self_attn.sinks",
			this.#stored.tensor(name, [queryHeads]),
			[queryHeads],
			"float32",
		);
	}

	mlp(layer: number): MlpWeights {
		const { hiddenSize } = this.#config;
		const name = (projection: string): string => `layers.${layer}.mlp.${projection}_proj`;
		const separate = this.#stored.has(`${name("gate")}.weight`);
		const rows = this.#stored.info(`${name(separate ? "gate" : "gate_up")}.weight`).dims[0] ?? 0;
		const inner = separate ? rows : rows / 2;
		const gateUp: Parts = separate
			? [
					[name("gate"), inner],
					[name("up"), inner],
				]
			: [[name("gate_up"), 2 * inner]];
		const rounding = this.#rounding(layer);
		return {
			gateUp: this.#linear("mlp.gate_up", gateUp, hiddenSize, rounding),
			down: this.#linear("mlp.down", [[name("down"), hiddenSize]], inner, rounding),
		};
	}

	/** Experts and the router that chooses them are float32 in either precision. */
	experts(layer: number, { count, active }: ExpertsConfig): ExpertsOptions {
		const { hiddenSize } = this.#config;
		const prefix = `layers.${layer}.mlp`;
		const { inner, gate, up, down } = readExperts(this.#stored, `${prefix}.experts`, { count, hiddenSize });
		const expert = (
			name: string,
			{ weight, bias }: ExpertMatrices,
			from: number,
			to: number,
		): ExpertWeight => ({
			weight: this.#constant(`mlp.experts.${name}`, weight, [count, from, to], "float32"),
			bias: this.#constant(`mlp.experts.${name}.bias`, bias, [count, 1, to], "float32"),
		});
		return {
			active,
			router: this.#dense("mlp.router", [[`${prefix}.router`, count]], hiddenSize),
			gate: expert("gate", gate, hiddenSize, inner),
			up: expert("up", up, hiddenSize, inner),
			down: expert("down", down, inner, hiddenSize),
		};
	}

	/**
	 * Matrices [name, rows] that share their input, stacked, with their biases when the file has any. `rounding` is that of
	 * `fast` where its products take integers.
	 */
	#linear(
		label: string,
		parts: Parts,
		columns: number,
		rounding: Rounding,
		scaled: ScaledRows = unscaled,
	): LinearWeight {
		return this.#blockProducts !== undefined
			? this.#blocks(label, parts, columns, rounding, scaled)
			: this.#dense(label, parts, columns, scaled);
	}

	#dense(label: string, parts: Parts, columns: number, scaled: ScaledRows = unscaled): LinearWeight {
		const rows = parts.reduce((sum, [, count]) => sum + count, 0);
		const weight = this.#stack(this.#matrices(parts, columns));
		scaleRows(weight, columns, scaled);
		return {
			kind: "dense",
			weight: this.#constant(label, weight, [rows, columns], "float32"),
			bias: this.#bias(label, parts, scaled),
		};
	}

	#blocks(
		label: string,
		parts: Parts,
		columns: number,
		rounding: Rounding,
		scaled: ScaledRows,
	): LinearWeight {
		const integers = this.#blockProducts === "int8";
		const quantised = quantizeMatrices(this.#stored.file, this.#matrices(parts, columns), this.#memory);
		const { bits, blockSize, codes, scales, rows, blocks } =
			integers && rounding === "halves" ? inHalves(quantised, columns, this.#memory) : quantised;
		scaleRows(scales, blocks, scaled);
		return {
			kind: "blocks",
			bits,
			blockSize,
			terms: !integers ? 0 : rounding === "twice" && columns % blockSize === 0 ? 2 : 1,
			codes: this.#constant(label, codes, [rows, blocks, (blockSize * bits) / 8], "uint8"),
			scales: this.#constant(`${label}.scales`, scales, [rows, blocks], "float32"),
			bias: this.#bias(label, parts, scaled),
		};
	}

	/** Of what follows queries, keys and values in a layer. */
	#rounding(layer: number): Rounding {
		return layer === this.#config.layers.length - 1 ? "twice" : "blocks";
	}

	#matrices(parts: Parts, columns: number): StoredMatrix[] {
		return parts.map(([name, rows]) => this.#stored.matrix(`${name}.weight`, rows, columns));
	}

	#bias(label: string, parts: Parts, scaled: ScaledRows): Value<"float32"> | undefined {
		if (!parts.some(([name]) => this.#stored.has(`${name}.bias`))) return undefined;
		const rows = parts.reduce((sum, [, count]) => sum + count, 0);
		const bias = new Float32Array(rows);
		let offset = 0;
		for (const [name, count] of parts) {
			bias.set(this.#stored.tensor(`${name}.bias`, [count]), offset);
			offset += count;
		}
		scaleRows(bias, 1, scaled);
		return this.#constant(`${label}.bias`, bias, [rows], "float32");
	}

	#stack(matrices: readonly StoredMatrix[]): Float32Array {
		const stacked = this.#memory.floats(matrices.reduce((sum, { rows, columns }) => sum + rows * columns, 0));
		let offset = 0;
		for (const { info, rows, columns } of matrices) {
			this.#stored.file.read(info.name, stacked.subarray(offset, offset + rows * columns));
			offset += rows * columns;
		}
		return stacked;
	}

	#normWeight(name: string, width: number, factor = 1): Value<"float32"> {
		const weight = this.#stored.tensor(`${name}.weight`, [width]);
		const { normOffset } = this.#config;
		const shifted = normOffset === 0 && factor === 1 ? weight : weight.map((w) => (w + normOffset) * factor);
		return this.#constant(name.replace(/^layers\.\d+\./, ""), shifted, [width], "float32");
	}

	#constant<D extends DType>(
		name: string,
		data: TypedArrays[D],
		dims: readonly number[],
		dtype: D,
	): Value<D> {
		return this.#graph.constant(name, { dtype, dims, data });
	}
}
