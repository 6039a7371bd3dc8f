/**
 * GGUF files as llama.cpp's converter makes them, rebuilt from goldens: a manifest says what the file holds, and a
 * folder in transformers' layout has the weights. What the converter does to each tensor is written down here a
 * second time, apart from the reader, and held to the digests of the converter's own output.
 */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import type { GgufValue } from "../formats/gguf-values.ts";
import { encodeGguf } from "../formats/gguf-writer.ts";
import type { TensorContent } from "../formats/tensor-content.ts";
import type { TensorFile, TensorType } from "../formats/tensor-file.ts";

interface Manifest {
	readonly metadata: Readonly<Record<string, GgufValue>>;
	readonly tensors: Readonly<Record<string, ManifestTensor>>;
}

interface ManifestTensor {
	readonly type: TensorType;
	readonly dims: readonly number[];
	readonly sha256: string;
	/** Base64 of tensors that the converter computes from the configuration alone. */
	readonly data?: string;
}

export interface ConvertedGguf {
	readonly bytes: Uint8Array;
	/** Tensors whose bytes are not the converter's. */
	readonly different: readonly string[];
}

/** Rebuilds the file of goldens/gguf-tiny/`manifest`. */
export function convertedGguf(manifestPath: string, model: TensorFile): ConvertedGguf {
	const manifest: Manifest = JSON.parse(readFileSync(manifestPath, "utf8"));
	const values = new Map(Object.entries(manifest.metadata));
	const converter = new Converter(model, values);
	const tensors = Object.entries(manifest.tensors).map(([name, { type, dims, data }]): TensorContent => {
		const bytes = data === undefined ? converter.tensor(name) : new Uint8Array(Buffer.from(data, "base64"));
		return { name, type, dims, data: bytes };
	});
	const different = tensors.filter(({ name, data }) => {
		const digest = createHash("sha256")
			.update(data as Uint8Array)
			.digest("hex");
		return digest !== manifest.tensors[name]?.sha256;
	});
	return { bytes: encodeGguf({ values, tensors }), different: different.map(({ name }) => name) };
}

/** Names in transformers' layout; where two architectures disagree, `Converter` decides. */
const names: Readonly<Record<string, string>> = {
	token_embd: "model.embed_tokens",
	output_norm: "model.norm",
	output: "lm_head",
	attn_norm: "input_layernorm",
	post_attention_norm: "post_attention_layernorm",
	ffn_norm: "post_attention_layernorm",
	post_ffw_norm: "post_feedforward_layernorm",
	attn_q: "self_attn.q_proj",
	attn_k: "self_attn.k_proj",
	attn_v: "self_attn.v_proj",
	attn_output: "self_attn.o_proj",
	attn_q_norm: "self_attn.q_norm",
	attn_k_norm: "self_attn.k_norm",
	ffn_gate: "mlp.gate_proj",
	ffn_up: "mlp.up_proj",
	ffn_down: "mlp.down_proj",
	ffn_gate_inp: "mlp.router",
};

class Converter {
	readonly #model: TensorFile;
	readonly #architecture: string;
	readonly #heads: Readonly<Record<string, number>>;

	constructor(model: TensorFile, metadata: ReadonlyMap<string, GgufValue>) {
		this.#model = model;
		this.#architecture = String(metadata.get("general.architecture")?.value);
		const heads = (key: string): number =>
			Number(metadata.get(`${this.#architecture}.attention.${key}`)?.value);
		this.#heads = { attn_q: heads("head_count"), attn_k: heads("head_count_kv") };
	}

	/** The bytes of a tensor, "blk.0.attn_q.weight". */
	tensor(name: string): Uint8Array {
		const [, layer, stem = "", suffix = ""] = /^(?:blk\.(\d+)\.)?(\w+)(\.weight|\.bias)$/.exec(name) ?? [];
		const prefix = layer === undefined ? "" : `model.layers.${layer}.`;
		if (stem.endsWith("_exps")) return this.#experts(`${prefix}mlp.experts.`, stem, suffix);
		if (stem === "attn_sinks") return bytesOf(this.#model.read(`${prefix}self_attn.sinks`));
		const part = (stem: string): Float32Array =>
			this.#rearranged(stem, `${prefix}${this.#name(stem)}${suffix}`);
		if (stem === "attn_qkv" && !this.#model.tensors.has(`${prefix}self_attn.qkv_proj${suffix}`))
			return Buffer.concat(["attn_q", "attn_k", "attn_v"].map((stem) => bytesOf(part(stem))));
		return bytesOf(part(stem));
	}

	#name(stem: string): string {
		if (this.#architecture === "phi3" && stem === "ffn_up") return "mlp.gate_up_proj";
		if (this.#architecture === "gemma3" && stem === "ffn_norm") return "pre_feedforward_layernorm";
		return stem === "attn_qkv" ? "self_attn.qkv_proj" : (names[stem] as string);
	}

	#rearranged(stem: string, name: string): Float32Array {
		const values = this.#model.read(name);
		if (this.#architecture === "gemma3" && stem.endsWith("norm")) return values.map((w) => w + 1);
		const heads = this.#heads[stem];
		const turns = this.#architecture === "llama" || this.#architecture === "smollm3";
		return turns && heads !== undefined
			? interleavedPairs(values, this.#model.tensors.get(name)?.dims[0] ?? 0, heads)
			: values;
	}

	#experts(prefix: string, stem: string, suffix: string): Uint8Array {
		const source = `${prefix}${stem === "ffn_down_exps" ? "down_proj" : "gate_up_proj"}`;
		// Gate and up take turns.
		const step = stem === "ffn_down_exps" ? 1 : 2;
		const first = stem === "ffn_up_exps" ? 1 : 0;
		const { tensors } = this.#model;
		if (suffix === ".bias") return bytesOf(every(this.#model.read(`${source}_bias`), first, step));
		const blocks = tensors.get(`${source}_blocks`);
		if (blocks !== undefined) {
			const [, , perRow = 0] = blocks.dims;
			const rows = ggufBlocks(
				this.#model.readBytes(`${source}_blocks`),
				this.#model.readBytes(`${source}_scales`),
			);
			return everyRow(rows, perRow * 17, first, step);
		}
		const [, ins = 0, outs = 0] = tensors.get(source)?.dims ?? [];
		const turned = transposed(this.#model.read(source), ins, outs); // [experts, outs, ins]
		return everyRow(bytesOf(turned), 4 * ins, first, step);
	}
}

/** Rows [heads, 2, half] of a projection, or of its bias, as [heads, half, 2]. */
function interleavedPairs(values: Float32Array, rows: number, heads: number): Float32Array {
	const columns = values.length / rows;
	const headDim = rows / heads;
	return values.map((_, at) => {
		const row = Math.floor(at / columns);
		const within = row % headDim;
		const from = row - within + (within % 2) * (headDim / 2) + Math.floor(within / 2);
		return values[from * columns + (at % columns)] as number;
	});
}

/** MXFP4 codes [n, 16] and scales [n] as ggml's blocks [n, 17], whose byte j holds elements j and j + 16. */
function ggufBlocks(codes: Uint8Array, scales: Uint8Array): Uint8Array {
	const out = new Uint8Array(scales.length * 17);
	const element = (block: number, index: number): number =>
		((codes[block * 16 + (index >> 1)] as number) >> (4 * (index & 1))) & 15;
	scales.forEach((scale, block) => {
		out[block * 17] = scale;
		for (let j = 0; j < 16; j++) out[block * 17 + 1 + j] = element(block, j) | (element(block, j + 16) << 4);
	});
	return out;
}

/** [count, rows, columns] → [count, columns, rows] */
function transposed(values: Float32Array, rows: number, columns: number): Float32Array {
	return values.map((_, at) => {
		const within = at % (rows * columns);
		const [column, row] = [Math.floor(within / rows), within % rows];
		return values[at - within + row * columns + column] as number;
	});
}

function every(values: Float32Array, first: number, step: number): Float32Array {
	return values.filter((_, i) => i % step === first);
}

function everyRow(bytes: Uint8Array, rowBytes: number, first: number, step: number): Uint8Array {
	return bytes.filter((_, i) => Math.floor(i / rowBytes) % step === first);
}

function bytesOf(values: Float32Array): Uint8Array {
	return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
