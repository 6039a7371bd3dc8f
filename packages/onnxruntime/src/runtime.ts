/** A runtime on onnxruntime: what is the same wherever the graphs run. */
import type {
	Arithmetic,
	BlockProducts,
	GraphFile,
	GraphSession,
	KvBank,
	KvFormat,
	KvShape,
	KvStore,
	LoadOptions,
	Runtime,
} from "@tok/runtime";
import type { GraphContext } from "./graph-session.ts";
import { KvMemory } from "./kv/memory.ts";
import type { FreshRows, SegmentMemory } from "./kv/segment.ts";
import { Resources } from "./resources.ts";

export interface OnnxRuntimeOptions<Fresh extends FreshRows>
	extends Pick<GraphContext, "transfers" | "schedule" | "check"> {
	/** "cpu". Errors come from "runtime-cpu". */
	readonly name: string;
	readonly memoryLimit: number | undefined;
	readonly blockProducts: BlockProducts | undefined;
	/** Defaults to float32. */
	readonly arithmetic?: Arithmetic;
	/** Defaults to true. */
	readonly emptyTensors?: boolean;
	readonly memory: SegmentMemory<Fresh>;
	/** Loads a graph; the options have been checked for what is common. */
	load(context: GraphContext, make: () => GraphFile, options: LoadOptions): Promise<GraphSession>;
	/** Frees what the runtime has besides sessions and stores. Called once, after both. */
	close?(): void;
}

export class OnnxRuntime<Fresh extends FreshRows> implements Runtime {
	readonly name: string;
	readonly memoryLimit: number | undefined;
	readonly kvFormats: readonly KvFormat[];
	readonly blockProducts: BlockProducts | undefined;
	readonly arithmetic: Arithmetic;
	readonly emptyTensors: boolean;
	readonly #load: OnnxRuntimeOptions<Fresh>["load"];
	readonly #close: OnnxRuntimeOptions<Fresh>["close"];
	readonly #resources: Resources;
	readonly #memory: KvMemory<Fresh>;
	readonly #context: GraphContext;
	#disposed = false;

	constructor(options: OnnxRuntimeOptions<Fresh>) {
		const { name, memoryLimit, blockProducts, arithmetic = "float32", emptyTensors = true } = options;
		const { memory, transfers, schedule, check, load, close } = options;
		this.name = name;
		this.memoryLimit = memoryLimit;
		this.kvFormats = memory.formats;
		this.blockProducts = blockProducts;
		this.arithmetic = arithmetic;
		this.emptyTensors = emptyTensors;
		this.#load = load;
		this.#close = close;
		this.#resources = new Resources(`runtime-${name}`, memoryLimit);
		this.#memory = new KvMemory({ resources: this.#resources, memory });
		this.#context = {
			resources: this.#resources,
			memory: this.#memory,
			transfers,
			...(schedule && { schedule }),
			...(check && { check }),
		};
	}

	async loadGraph(file: GraphFile | (() => GraphFile), options: LoadOptions = {}): Promise<GraphSession> {
		const { signal } = options;
		this.#checkOpen();
		signal?.throwIfAborted();
		const session = await this.#load(this.#context, typeof file === "function" ? file : () => file, options);
		// onnxruntime cannot be interrupted while it loads; what happened meanwhile takes effect here.
		if (this.#disposed || signal?.aborted) await session.dispose();
		this.#checkOpen();
		signal?.throwIfAborted();
		return session;
	}

	get valuesOnDisk(): boolean {
		return this.#memory.valuesOnDisk;
	}

	createKvStore(shape: KvShape): KvStore {
		this.#checkOpen();
		return this.#memory.createStore(shape);
	}

	createKvBank(shape: KvShape, size: number): KvBank {
		this.#checkOpen();
		return this.#memory.createBank(shape, size);
	}

	async dispose(): Promise<void> {
		const isFirst = !this.#disposed;
		this.#disposed = true;
		const { sessions, stores } = this.#resources;
		// Sessions first: their runs under way may still need a store.
		await Promise.all([...sessions].map((session) => session.dispose()));
		for (const store of [...stores]) store.dispose();
		if (isFirst) this.#close?.();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}

	#checkOpen(): void {
		if (this.#disposed)
			throw this.#resources.error(`the runtime was disposed. Create a new one with ${this.name}().`);
	}
}
