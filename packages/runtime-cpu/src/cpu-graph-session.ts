/** One graph in onnxruntime-node. Feeds are borrowed, outputs are copies that onnxruntime makes. */
import {
	type GraphFile,
	type GraphSession,
	kvNames,
	type RunOptions,
	type Tensor,
	TokError,
} from "@tok/runtime";
import * as ort from "onnxruntime-node";
import { CpuKvStore } from "./cpu-kv-store.ts";

export class CpuGraphSession implements GraphSession {
	readonly inputNames: readonly string[];
	readonly outputNames: readonly string[];
	#session: ort.InferenceSession | undefined;
	readonly #onDispose: (self: GraphSession) => void;

	private constructor(session: ort.InferenceSession, onDispose: (self: GraphSession) => void) {
		this.#session = session;
		this.#onDispose = onDispose;
		this.inputNames = session.inputNames;
		this.outputNames = session.outputNames;
	}

	static async load(
		file: GraphFile,
		threads: number,
		onDispose: (self: GraphSession) => void,
	): Promise<CpuGraphSession> {
		const options: ort.InferenceSession.SessionOptions = {
			executionProviders: ["cpu"],
			intraOpNumThreads: threads,
			graphOptimizationLevel: "all",
			logSeverityLevel: 3,
			externalData: file.weights?.map(({ path, data }) => ({ path, data })) ?? [],
		};
		try {
			return new CpuGraphSession(await ort.InferenceSession.create(file.model, options), onDispose);
		} catch (cause) {
			throw new TokError(
				"runtime-cpu",
				`loadGraph: expected a graph that onnxruntime accepts, got ${reason(cause)}`,
				{
					cause,
				},
			);
		}
	}

	async run(
		feeds: Readonly<Record<string, Tensor>>,
		{ store, outputs = this.outputNames }: RunOptions = {},
	): Promise<Record<string, Tensor>> {
		if (this.#session === undefined)
			throw new TokError("runtime-cpu", "run: the graph session was disposed. Load the graph again.");
		if (store !== undefined && !(store instanceof CpuKvStore))
			throw new TokError(
				"runtime-cpu",
				"run: expected a store that this runtime created. Use runtime.createKvStore.",
			);
		const tensors: Record<string, ort.Tensor> = store === undefined ? {} : { ...store.tensors() };
		for (const [name, tensor] of Object.entries(feeds))
			tensors[name] = new ort.Tensor(tensor.dtype, tensor.data as never, tensor.dims as number[]);
		let results: ort.InferenceSession.ReturnType;
		try {
			results = await this.#session.run(tensors, outputs);
		} catch (cause) {
			throw new TokError("runtime-cpu", `run: onnxruntime refused the feeds: ${reason(cause)}`, { cause });
		}
		const fetched: Record<string, Tensor> = {};
		for (const name of outputs) {
			const tensor = results[name] as ort.Tensor;
			if (store !== undefined && name === kvNames.fresh) store.keep(tensor.data as Float32Array, tensor.dims);
			else
				fetched[name] = {
					dtype: tensor.type,
					dims: tensor.dims,
					data: tensor.data,
				} as Tensor;
		}
		return fetched;
	}

	async dispose(): Promise<void> {
		const session = this.#session;
		if (session === undefined) return;
		this.#session = undefined;
		this.#onDispose(this);
		await session.release();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}
}

function reason(cause: unknown): string {
	return cause instanceof Error ? cause.message : String(cause);
}
