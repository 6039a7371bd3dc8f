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
import { CpuGraphSession } from "./cpu-graph-session.ts";
import { CpuKvBank } from "./cpu-kv-bank.ts";
import { CpuKvStore } from "./cpu-kv-store.ts";
import { availableMemory, Resources } from "./resources.ts";

/** More than any machine has use for; onnxruntime starts as many as it is told to. */
const MAX_THREADS = 1024;

export interface CpuOptions {
	/** Threads of one operator, 1–1024. Defaults to the parallelism that the process may use. */
	readonly threads?: number;
	/** Bytes that all key/value stores together may take. Defaults to the memory of the machine or its container. */
	readonly memoryLimit?: number;
}

/** Creates the CPU runtime. Throws a TokError when an option is out of range. */
export function cpu({
	threads = availableParallelism(),
	memoryLimit = availableMemory(),
}: CpuOptions = {}): Runtime {
	checkThreads(threads);
	if (!Number.isSafeInteger(memoryLimit) || memoryLimit < 1)
		throw new TokError("runtime-cpu", `memoryLimit: expected bytes, an integer ≥ 1, got ${memoryLimit}.`);
	return new CpuRuntime(threads, memoryLimit);
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
	readonly #resources: Resources;
	#disposed = false;

	constructor(threads: number, memoryLimit: number) {
		this.#threads = threads;
		this.memoryLimit = memoryLimit;
		this.#resources = new Resources(memoryLimit);
	}

	async loadGraph(
		file: GraphFile,
		{ threads = this.#threads, signal }: LoadOptions = {},
	): Promise<GraphSession> {
		this.#checkOpen();
		checkThreads(threads);
		signal?.throwIfAborted();
		const session = await CpuGraphSession.load(file, threads, this.#resources);
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

	#checkOpen(): void {
		if (this.#disposed)
			throw new TokError("runtime-cpu", "the runtime was disposed. Create a new one with cpu().");
	}
}
