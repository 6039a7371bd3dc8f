/**
 * A model's weights in float32, as tok multiplies them: a runtime that runs nothing is given the graph that tok builds,
 * and keeps the arrays that lie beside it. So whoever is exported to computes with the same numbers. Queries are scaled
 * for attention already.
 */
import { gguf } from "@huggingface/gguf";
import { dense } from "@tok/kv-cache";
import { type LoadModelOptions, loadModel, type ModelInfo, TokError } from "@tok/lm";

type Runtime = LoadModelOptions["runtime"];
type GraphFile = Exclude<Parameters<Runtime["loadGraph"]>[0], () => unknown>;

export interface SourceModel {
	readonly info: ModelInfo;
	readonly ropeTheta: number;
	readonly epsilon: number;
	/** Width of the gated layer between gate and down. */
	readonly inner: number;
	/** Row-major float32 by the names of tok's decoder: "embed_tokens", "layers.0.self_attn.qkv", … */
	weight(name: string, length: number): Float32Array;
}

/** @param path Of a GGUF file of the architecture llama. */
export async function readSourceModel(path: string): Promise<SourceModel> {
	const { metadata } = await gguf(path, { allowLocalFile: true });
	const fields = metadata as Record<string, unknown>;
	if (fields["general.architecture"] !== "llama" || fields["llama.rope.scaling.type"] !== undefined)
		throw new TokError(
			"benchmarks",
			`${path}: expected a llama without rope scaling, which alone can be exported, got ${String(fields["general.architecture"])}. Measure with --only "tok|wllama".`,
		);
	const number = (key: string): number => {
		const value = Number(fields[key]);
		if (Number.isFinite(value)) return value;
		throw new TokError(
			"benchmarks",
			`${path}: expected a number as ${key}, got ${String(fields[key])}. The file is incomplete.`,
		);
	};
	const { info, weights } = await recordWeights(path);
	return {
		info,
		ropeTheta: number("llama.rope.freq_base"),
		epsilon: number("llama.attention.layer_norm_rms_epsilon"),
		inner: number("llama.feed_forward_length"),
		weight(name, length) {
			const bytes = weights.get(`weights/${name.replace(/^(layers\.\d+)\./, "$1/")}`);
			if (bytes?.byteLength === 4 * length) return new Float32Array(bytes.buffer, bytes.byteOffset, length);
			throw new TokError(
				"benchmarks",
				`${name}: expected ${length} numbers among the weights of tok's graph, got ${bytes === undefined ? "none" : bytes.byteLength / 4}. ` +
					"Its decoder names them otherwise now: change the export's names.",
			);
		},
	};
}

async function recordWeights(
	path: string,
): Promise<{ readonly info: ModelInfo; readonly weights: ReadonlyMap<string, Uint8Array> }> {
	const recorder = new Recorder();
	const model = await loadModel(path, { runtime: recorder, precision: "exact" });
	await model.prepare([dense()]);
	await model.dispose();
	return { info: model.info, weights: recorder.weights };
}

/** A runtime that keeps what it is given, and runs nothing. */
class Recorder implements Runtime {
	readonly name = "recorder";
	readonly memoryLimit = undefined;
	readonly kvFormats = ["float32"] as const;
	readonly blockProducts = undefined;
	readonly arithmetic = "float32";
	readonly emptyTensors = true;
	readonly weights = new Map<string, Uint8Array>();

	async loadGraph(file: GraphFile | (() => GraphFile)): ReturnType<Runtime["loadGraph"]> {
		const { weights = [] } = typeof file === "function" ? file() : file;
		// They are freed when this returns.
		for (const { path, data } of weights) this.weights.set(path, data.slice());
		return { inputNames: [], outputNames: [], run: refuse, dispose, [Symbol.asyncDispose]: dispose };
	}

	createKvStore(): never {
		return refuse();
	}

	createKvBank(): never {
		return refuse();
	}

	async dispose(): Promise<void> {}

	async [Symbol.asyncDispose](): Promise<void> {}
}

function refuse(): never {
	throw new TokError("benchmarks", "internal: the runtime that records weights was asked to run.");
}

async function dispose(): Promise<void> {}
