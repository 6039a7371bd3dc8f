/** One graph in onnxruntime-node. Feeds are borrowed, outputs are copies that onnxruntime makes. */
import {
	type GraphFile,
	type GraphSession,
	type KvPlaces,
	type KvStore,
	kvNames,
	type RunOptions,
	type Tensor,
	TokError,
} from "@tok/runtime";
import * as ort from "onnxruntime-node";
import { InputCheck } from "./check-inputs.ts";
import { CpuKvBank } from "./cpu-kv-bank.ts";
import { CpuKvStore } from "./cpu-kv-store.ts";
import { fromOrt, toOrt } from "./host-tensors.ts";
import type { KvTensors } from "./kv-tensors.ts";
import type { Resources } from "./resources.ts";

/** A graph as onnxruntime takes it. */
export interface LoadableGraph {
	readonly model: Uint8Array;
	/** In memory, or the folder below which their paths lead to files. */
	readonly weights: string | NonNullable<GraphFile["weights"]>;
}

const NO_BUFFERS: Readonly<Record<string, ort.Tensor>> = Object.freeze(Object.create(null));

export class CpuGraphSession implements GraphSession {
	readonly inputNames: readonly string[];
	readonly outputNames: readonly string[];
	/** Undefined once disposed. */
	#session: ort.InferenceSession | undefined;
	/** Runs under way: onnxruntime refuses one whose session is released before it begins. */
	readonly #running = new Set<Promise<unknown>>();
	readonly #resources: Resources;
	readonly #inputs: InputCheck;

	private constructor(session: ort.InferenceSession, resources: Resources) {
		this.#session = session;
		this.#resources = resources;
		this.#inputs = new InputCheck(session.inputMetadata);
		this.inputNames = session.inputNames;
		this.outputNames = session.outputNames;
		resources.sessions.add(this);
	}

	static async load(
		{ model, weights }: LoadableGraph,
		threads: number,
		resources: Resources,
	): Promise<CpuGraphSession> {
		try {
			const session = await ort.InferenceSession.create(model, {
				executionProviders: ["cpu"],
				intraOpNumThreads: threads,
				graphOptimizationLevel: "all",
				logSeverityLevel: 3,
				// The arena keeps its blocks: resident memory is level after some chunks. A plan of memory per input shape
				// costs half as much again and gains no time. README.md has the figures.
				enableCpuMemArena: true,
				enableMemPattern: false,
				...(typeof weights === "string"
					? { extra: { session: { model_external_initializers_file_folder_path: weights } } }
					: { externalData: weights.map(({ path, data }) => ({ path, data })) }),
			});
			return new CpuGraphSession(session, resources);
		} catch (cause) {
			throw new TokError(
				"runtime-cpu",
				`loadGraph: expected a graph that onnxruntime accepts, got its refusal: ${reason(cause)}`,
				{ cause },
			);
		}
	}

	async run(
		feeds: Readonly<Record<string, Tensor>>,
		{ store, places, outputs = this.outputNames }: RunOptions = {},
	): Promise<Record<string, Tensor>> {
		if (this.#session === undefined)
			throw new TokError("runtime-cpu", "run: the graph session was disposed. Load the graph again.");
		const cache = this.#cache(store, places);
		this.#checkOutputs(outputs);
		const buffers = cache?.tensors ?? NO_BUFFERS;
		this.#inputs.check(feeds, buffers);
		// onnxruntime looks inputs up by name: the store's buffers are inherited rather than copied for every step.
		const tensors: Record<string, ort.Tensor> = Object.create(buffers);
		for (const name in feeds) tensors[name] = toOrt(feeds[name] as Tensor);
		const results = await this.#execute(this.#session, tensors, outputs);
		cache?.keep(results[kvNames.fresh]);
		const fetched: Record<string, Tensor> = {};
		for (const [name, tensor] of Object.entries(results))
			if (cache === undefined || name !== kvNames.fresh) fetched[name] = fromOrt(tensor);
		return fetched;
	}

	async dispose(): Promise<void> {
		const session = this.#session;
		if (session === undefined) return;
		this.#session = undefined;
		this.#resources.sessions.delete(this);
		await Promise.allSettled(this.#running);
		await session.release();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}

	async #execute(
		session: ort.InferenceSession,
		tensors: Readonly<Record<string, ort.Tensor>>,
		outputs: readonly string[],
	): Promise<ort.InferenceSession.ReturnType> {
		const running = session.run(tensors, outputs);
		this.#running.add(running);
		try {
			return await running;
		} catch (cause) {
			throw new TokError(
				"runtime-cpu",
				`run: expected feeds that the graph can compute with, got onnxruntime's refusal: ${reason(cause)}`,
				{ cause },
			);
		} finally {
			this.#running.delete(running);
		}
	}

	/** What feeds `past.*` and takes `fresh`. */
	#cache(store: KvStore | undefined, places: KvPlaces | undefined): Cache | undefined {
		if (store !== undefined && places !== undefined)
			throw new TokError("runtime-cpu", "run: expected a store or places, got both. Leave one out.");
		if (store !== undefined) {
			if (!(store instanceof CpuKvStore) || store.resources !== this.#resources)
				throw foreign("store", "createKvStore");
			return { tensors: store.tensors(), keep: (fresh) => store.keep(fresh) };
		}
		if (places === undefined) return undefined;
		const { bank, from, to } = places;
		if (!(bank instanceof CpuKvBank) || bank.resources !== this.#resources)
			throw foreign("bank", "createKvBank");
		return { tensors: bank.tensors(from, to), keep: (fresh) => bank.keep(fresh, from, to) };
	}

	#checkOutputs(outputs: readonly string[]): void {
		const unknown = outputs.filter((name) => !this.outputNames.includes(name));
		if (outputs.length === 0 || unknown.length > 0)
			throw new TokError(
				"runtime-cpu",
				`run: expected outputs among ${this.outputNames.join(", ")}, got ${unknown.join(", ") || "none"}.`,
			);
	}
}

interface Cache {
	readonly tensors: KvTensors;
	keep(fresh: ort.Tensor | undefined): void;
}

function foreign(what: string, remedy: string): TokError {
	return new TokError(
		"runtime-cpu",
		`run: expected a ${what} that this runtime created, got another. Use runtime.${remedy}.`,
	);
}

function reason(cause: unknown): string {
	return cause instanceof Error ? cause.message : String(cause);
}
