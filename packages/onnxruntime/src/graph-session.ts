/** One graph in onnxruntime. Feeds are borrowed, outputs that are not kept come back as copies. */
import {
	type GraphSession,
	type KvPlaces,
	type KvStore,
	kvNames,
	type RunOptions,
	type Tensor,
	TokError,
} from "@tok/runtime";
import type * as ort from "onnxruntime-common";
import { InputCheck } from "./check-inputs.ts";
import type { Cache, KvTensors, RunMemory } from "./kv/memory.ts";
import type { Resources } from "./resources.ts";
import type { Transfers } from "./transfers.ts";

/** What the graph sessions of one runtime share. */
export interface GraphContext {
	readonly resources: Resources;
	readonly memory: RunMemory;
	/** For one graph session. */
	readonly transfers: () => Transfers;
	/** Runs a task of onnxruntime's. Defaults to at once; a backend that does one thing at a time queues it. */
	readonly schedule?: <T>(task: () => Promise<T>) => Promise<T>;
	/** Throws when the backend is of no use any more. Called before a graph is loaded or run. */
	readonly check?: () => void;
}

/** A run whose inputs have been checked. */
interface Step {
	readonly feeds: Readonly<Record<string, Tensor>>;
	/** Of the cache, or none. */
	readonly buffers: KvTensors;
	readonly cache: Cache | undefined;
	readonly outputs: readonly string[];
}

const NO_BUFFERS: KvTensors = Object.freeze(Object.create(null));

export class OnnxGraphSession implements GraphSession {
	readonly inputNames: readonly string[];
	readonly outputNames: readonly string[];
	/** Undefined once disposed. */
	#session: ort.InferenceSession | undefined;
	/** Runs under way: onnxruntime refuses one whose session is released before it begins. */
	readonly #running = new Set<Promise<unknown>>();
	readonly #context: GraphContext;
	readonly #inputs: InputCheck;
	readonly #transfers: Transfers;

	private constructor(context: GraphContext, session: ort.InferenceSession) {
		this.#session = session;
		this.#context = context;
		this.#inputs = new InputCheck(context.resources, session.inputMetadata);
		this.#transfers = context.transfers();
		this.inputNames = session.inputNames;
		this.outputNames = session.outputNames;
		context.resources.sessions.add(this);
	}

	/** @param create makes onnxruntime's session of the graph. */
	static async load(
		context: GraphContext,
		create: () => Promise<ort.InferenceSession>,
	): Promise<OnnxGraphSession> {
		try {
			return new OnnxGraphSession(context, await schedule(context, create, context.check));
		} catch (cause) {
			if (TokError.isInstance(cause)) throw cause;
			throw context.resources.error(
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
			throw this.#context.resources.error("run: the graph session was disposed. Load the graph again.");
		const cache = this.#cache(store, places);
		this.#checkOutputs(outputs);
		const buffers = cache?.tensors ?? NO_BUFFERS;
		this.#inputs.check(feeds, buffers);
		cache?.hold();
		const running = this.#step(this.#session, { feeds, buffers, cache, outputs });
		this.#running.add(running);
		try {
			return await running;
		} finally {
			this.#running.delete(running);
			cache?.release();
		}
	}

	async dispose(): Promise<void> {
		const session = this.#session;
		if (session === undefined) return;
		this.#session = undefined;
		this.#context.resources.sessions.delete(this);
		await Promise.allSettled(this.#running);
		await schedule(this.#context, () => session.release());
		this.#transfers.dispose();
	}

	[Symbol.asyncDispose](): Promise<void> {
		return this.dispose();
	}

	/** Of what the store holds, the graph may read a part. */
	#inputsOf(feeds: Readonly<Record<string, Tensor>>, buffers: KvTensors): Record<string, ort.Tensor> {
		const tensors: Record<string, ort.Tensor> = {};
		for (const name of this.inputNames)
			tensors[name] = buffers[name] ?? this.#transfers.feed(name, feeds[name] as Tensor);
		return tensors;
	}

	async #step(
		session: ort.InferenceSession,
		{ feeds, buffers, cache, outputs }: Step,
	): Promise<Record<string, Tensor>> {
		const [fetching] = await this.#execute(async () => {
			cache?.refresh?.();
			const inputs = this.#inputsOf(feeds, buffers);
			const run = (): Promise<ort.InferenceSession.ReturnType> => session.run(inputs, outputs);
			const results = await (this.#transfers.run?.(inputs, outputs, run) ?? run());
			// In a list: awaited, it would keep the next run waiting.
			return [this.#take(results, cache)] as const;
		});
		return fetching;
	}

	/** At once, since the next run may write where this one has. Its errors are not those of feeds. */
	async #take(
		results: Readonly<Record<string, ort.Tensor>>,
		cache: Cache | undefined,
	): Promise<Record<string, Tensor>> {
		const { [kvNames.fresh]: fresh, ...others } = results;
		cache?.keep(fresh);
		return this.#transfers.fetch(cache === undefined ? results : others);
	}

	/** Runs when it is its turn. Until then another's feeds may lie where this one's will. */
	async #execute<T>(run: () => Promise<T>): Promise<T> {
		try {
			return await schedule(this.#context, run, this.#context.check);
		} catch (cause) {
			if (TokError.isInstance(cause)) throw cause;
			throw this.#context.resources.error(
				`run: expected feeds that the graph can compute with, got onnxruntime's refusal: ${reason(cause)}`,
				{ cause },
			);
		}
	}

	/** What feeds `past.*` and takes `fresh`. */
	#cache(store: KvStore | undefined, places: KvPlaces | undefined): Cache | undefined {
		const { memory, resources } = this.#context;
		if (store !== undefined && places !== undefined)
			throw resources.error("run: expected a store or places, got both. Leave one out.");
		if (store !== undefined) return memory.ofStore(store);
		return places && memory.ofPlaces(places);
	}

	#checkOutputs(outputs: readonly string[]): void {
		const unknown = outputs.filter((name) => !this.outputNames.includes(name));
		if (outputs.length === 0 || unknown.length > 0)
			throw this.#context.resources.error(
				`run: expected outputs among ${this.outputNames.join(", ")}, got ${unknown.join(", ") || "none"}.`,
			);
	}
}

async function schedule<T>(context: GraphContext, task: () => Promise<T>, check?: () => void): Promise<T> {
	const checked = (): Promise<T> => {
		check?.();
		return task();
	};
	return context.schedule === undefined ? checked() : context.schedule(checked);
}

function reason(cause: unknown): string {
	return cause instanceof Error ? cause.message : String(cause);
}
