/**
 * The CPU runtime: onnxruntime-node behind tok's runtime specification.
 *
 * onnxruntime-node passes CPU inputs without copying and copies every output, so the cache is only ever an input.
 * `run` computes synchronously on the calling thread: a server gives each model a worker thread.
 */
import { availableParallelism } from "node:os";
import {
	type GraphFile,
	type GraphSession,
	type KvBank,
	type KvShape,
	type KvStore,
	type LoadOptions,
	type Runtime,
	TokError,
} from "@tok/runtime";
import { CpuGraphSession, type LoadableGraph } from "./cpu-graph-session.ts";
import { CpuKvBank } from "./cpu-kv-bank.ts";
import { CpuKvStore } from "./cpu-kv-store.ts";
import { PreparedGraphs } from "./prepared-graphs.ts";
import { availableMemory, Resources } from "./resources.ts";
import { attempt, writeWeights } from "./weight-files.ts";

/** More than any machine has use for; onnxruntime starts as many as it is told to. */
const MAX_THREADS = 1024;

export interface CpuOptions {
	/** Threads of one operator, 1–1024. Defaults to the parallelism that the process may use. */
	readonly threads?: number;
	/** Bytes that all key/value stores together may take. Defaults to the memory of the machine or its container. */
	readonly memoryLimit?: number;
	/**
	 * Folder in which graphs that are loaded under a key are kept for the next time: about as many bytes as their weights.
	 * It is made when first needed. Defaults to none.
	 */
	readonly prepared?: string;
}

/** Creates the CPU runtime. Throws a TokError when an option is out of range. */
export function cpu({
	threads = availableParallelism(),
	memoryLimit = availableMemory(),
	prepared,
}: CpuOptions = {}): Runtime {
	checkThreads(threads);
	if (!Number.isSafeInteger(memoryLimit) || memoryLimit < 1)
		throw new TokError("runtime-cpu", `memoryLimit: expected bytes, an integer ≥ 1, got ${memoryLimit}.`);
	return new CpuRuntime(
		threads,
		memoryLimit,
		prepared === undefined ? undefined : new PreparedGraphs(prepared),
	);
}

function checkThreads(threads: number): void {
	if (!Number.isInteger(threads) || threads < 1 || threads > MAX_THREADS)
		throw new TokError(
			"runtime-cpu",
			`threads: expected an integer from 1 to ${MAX_THREADS}, got ${threads}. Leave it out for all cores.`,
		);
}

class CpuRuntime implements Runtime {
	readonly name = "cpu";
	readonly memoryLimit: number;
	readonly #threads: number;
	readonly #prepared: PreparedGraphs | undefined;
	readonly #resources: Resources;
	#disposed = false;

	constructor(threads: number, memoryLimit: number, prepared: PreparedGraphs | undefined) {
		this.#threads = threads;
		this.#prepared = prepared;
		this.memoryLimit = memoryLimit;
		this.#resources = new Resources(memoryLimit);
	}

	async loadGraph(
		file: GraphFile | (() => GraphFile),
		{ threads = this.#threads, key, signal }: LoadOptions = {},
	): Promise<GraphSession> {
		this.#checkOpen();
		checkThreads(threads);
		signal?.throwIfAborted();
		const make = typeof file === "function" ? file : () => file;
		const session = await (key === undefined || this.#prepared === undefined
			? this.#load(make(), threads)
			: this.#loadPrepared(this.#prepared, key, make, threads));
		// onnxruntime cannot be interrupted while it loads; what happened meanwhile takes effect here.
		if (this.#disposed || signal?.aborted) await session.dispose();
		this.#checkOpen();
		signal?.throwIfAborted();
		return session;
	}

	createKvStore(shape: KvShape): KvStore {
		this.#checkOpen();
		return CpuKvStore.create(shape, this.#resources);
	}

	createKvBank(shape: KvShape, size: number): KvBank {
		this.#checkOpen();
		return new CpuKvBank(shape, size, this.#resources);
	}

	async dispose(): Promise<void> {
		this.#disposed = true;
		const { sessions, stores } = this.#resources;
		// Sessions first: their runs under way may still need a store.
		await Promise.all([...sessions].map((session) => session.dispose()));
		for (const store of [...stores]) store.dispose();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}

	async #load({ model, weights = [] }: GraphFile, threads: number): Promise<CpuGraphSession> {
		const files = writeWeights(weights);
		try {
			const graph = { model, weights: files?.folder ?? weights };
			return await CpuGraphSession.load(graph, threads, this.#resources);
		} finally {
			if (files !== undefined) attempt(files.remove);
		}
	}

	/** The graph that is kept under the key, or else the one that `make` makes, which is kept then. */
	async #loadPrepared(
		prepared: PreparedGraphs,
		key: string,
		make: () => GraphFile,
		threads: number,
	): Promise<CpuGraphSession> {
		const load = async (graph: LoadableGraph | undefined): Promise<CpuGraphSession | undefined> => {
			try {
				return graph && (await CpuGraphSession.load(graph, threads, this.#resources));
			} catch {
				// Removed by another process meanwhile, or refused: then it is refused once more, with the reason.
				prepared.remove(key);
				return undefined;
			}
		};
		const known = await load(prepared.find(key));
		if (known !== undefined) return known;
		const file = make();
		return (await load(prepared.keep(key, file))) ?? this.#load(file, threads);
	}

	#checkOpen(): void {
		if (this.#disposed)
			throw new TokError("runtime-cpu", "the runtime was disposed. Create a new one with cpu().");
	}
}
