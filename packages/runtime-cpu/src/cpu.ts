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
	type KvShape,
	type KvStore,
	type LoadOptions,
	type Runtime,
	TokError,
} from "@tok/runtime";
import { CpuGraphSession } from "./cpu-graph-session.ts";
import { CpuKvStore } from "./cpu-kv-store.ts";
import { memoryLimit } from "./memory-limit.ts";

export interface CpuOptions {
	/** Threads of one operator. Defaults to the parallelism that the process may use. */
	readonly threads?: number;
}

/** Creates the CPU runtime. Throws when `threads` is not an integer ≥ 1. */
export function cpu({ threads = availableParallelism() }: CpuOptions = {}): Runtime {
	checkThreads(threads);
	return new CpuRuntime(threads);
}

function checkThreads(threads: number): void {
	if (!Number.isSafeInteger(threads) || threads < 1)
		throw new TokError(
			"runtime-cpu",
			`threads: expected an integer ≥ 1, got ${threads}. Leave it out for all cores.`,
		);
}

class CpuRuntime implements Runtime {
	readonly name = "cpu";
	readonly memoryLimit: number = memoryLimit();
	readonly #threads: number;
	readonly #sessions = new Set<GraphSession>();
	readonly #stores = new Set<KvStore>();
	#disposed = false;

	constructor(threads: number) {
		this.#threads = threads;
	}

	async loadGraph(
		file: GraphFile,
		{ threads = this.#threads, signal }: LoadOptions = {},
	): Promise<GraphSession> {
		this.#checkOpen();
		checkThreads(threads);
		signal?.throwIfAborted();
		const session = await CpuGraphSession.load(file, threads, (closed) => this.#sessions.delete(closed));
		this.#sessions.add(session);
		// onnxruntime cannot be interrupted while it loads; an abort meanwhile takes effect here.
		if (signal?.aborted) {
			await session.dispose();
			signal.throwIfAborted();
		}
		return session;
	}

	createKvStore(shape: KvShape): KvStore {
		this.#checkOpen();
		return CpuKvStore.create(shape, this.memoryLimit, this.#stores);
	}

	async dispose(): Promise<void> {
		this.#disposed = true;
		for (const store of [...this.#stores]) store.dispose();
		for (const session of [...this.#sessions]) await session.dispose();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}

	#checkOpen(): void {
		if (this.#disposed)
			throw new TokError("runtime-cpu", "the runtime was disposed. Create a new one with cpu().");
	}
}
