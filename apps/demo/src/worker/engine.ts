/** The one model that is loaded, on the runtime that was picked for it. */
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import { loadModel, type Model, type Progress, removeStoredModel, storedModels } from "@tok/lm";
import type { Runtime } from "@tok/runtime";
import { memoryHeadsOf } from "../lib/memory-heads.ts";
import { type BackendOffer, pickRuntime } from "../lib/pick-runtime.ts";
import { growthOf, roomProblem } from "../lib/room.ts";
import type { Context } from "../lib/rpc.ts";
import type { LoadedModel, LoadRequest, PolicyCost, StoredInfo } from "../protocol.ts";
import { backends } from "./backends.ts";
import { breathing } from "./breathing-runtime.ts";

export class Engine {
	#model: Model | undefined;
	#runtime: Runtime | undefined;

	get model(): Model {
		if (this.#model === undefined) throw new Error("No model is loaded yet. Load one first.");
		return this.#model;
	}

	backends(): Promise<readonly BackendOffer[]> {
		return Promise.all(backends.map((backend) => backend.offer()));
	}

	async load(
		{ source, prefer, precision }: LoadRequest,
		{ signal, emit }: Context<Progress>,
	): Promise<LoadedModel> {
		await this.#unload();
		const { quota, usage } = await estimate();
		const refused = new AbortController();
		let asked = false;
		const onProgress = (progress: Progress): void => {
			emit(progress);
			if (asked || progress.stage !== "download" || progress.total === undefined) return;
			asked = true;
			const { total: bytes, loaded } = progress;
			const problem = roomProblem({ bytes, missing: bytes - loaded, growth, quota, usage });
			if (problem !== undefined) refused.abort(new Error(problem));
		};
		const { runtime, name: backend, refusals } = await pickRuntime(backends, { prefer });
		const growth = growthOf(
			typeof source === "string" ? source : "",
			runtime.blockProducts !== undefined && precision !== "exact",
		);
		try {
			const memoryHeads = memoryHeadsOf(source);
			const model = await loadModel(source as string, {
				runtime: breathing(runtime),
				...(precision !== undefined && { precision }),
				...(memoryHeads !== undefined && { memoryHeads }),
				signal: AbortSignal.any([signal, refused.signal]),
				onProgress,
			});
			this.#model = model;
			this.#runtime = runtime;
			return { ...describe(model), backend, refusals };
		} catch (error) {
			await runtime.dispose();
			throw error;
		}
	}

	costs(policies: readonly string[]): readonly PolicyCost[] {
		return policies.map((text): PolicyCost => {
			try {
				const policy = parsePolicy(text);
				return { policy: formatPolicy(policy), bytes: this.model.cacheBytes(policy) };
			} catch (error) {
				return { policy: text, problem: (error as Error).message };
			}
		});
	}

	stored(): Promise<readonly StoredInfo[]> {
		return storedModels();
	}

	async forget(name: string): Promise<null> {
		await removeStoredModel(name);
		return null;
	}

	async #unload(): Promise<void> {
		await this.#model?.dispose();
		await this.#runtime?.dispose();
		this.#model = undefined;
		this.#runtime = undefined;
	}
}

function describe({ info, chatTemplate }: Model): Omit<LoadedModel, "backend" | "refusals"> {
	const { name, architecture, layers, kvHeads, contextLength, precision, memoryHeads } = info;
	const heads = memoryHeads.reduce((sum, { heads }) => sum + heads.length, 0);
	return {
		name,
		architecture,
		layers,
		contextLength,
		precision,
		canChat: chatTemplate !== undefined,
		canRemember: heads > 0,
		memoryHeads: [heads, layers * kvHeads],
	};
}

/** Private windows and old browsers say nothing. */
async function estimate(): Promise<StorageEstimate> {
	try {
		return await navigator.storage.estimate();
	} catch {
		return {};
	}
}
