/**
 * The page's side of the worker: the model that is loaded, the one that is on its way, and why one could not be.
 * Every load begins in a new worker: memory that WebAssembly has taken is given back with its worker alone.
 */
import type { Precision, Progress } from "@tok/lm";
import type { BackendName, BackendOffer } from "../lib/pick-runtime.ts";
import { type Client, connect } from "../lib/rpc.ts";
import type { Calls, LoadedModel, LoadRequest, StoredInfo } from "../protocol.ts";

export interface Choice {
	readonly source: LoadRequest["source"];
	readonly prefer: BackendName | undefined;
	readonly precision: Precision | undefined;
}

class EngineState {
	model: LoadedModel | undefined = $state.raw();
	/** What the loaded model was chosen by, to load it again under other settings. */
	choice: Choice | undefined = $state.raw();
	progress: Progress | undefined = $state.raw();
	loading = $state(false);
	problem: string | undefined = $state();
	offers: readonly BackendOffer[] = $state.raw([]);
	stored: readonly StoredInfo[] = $state.raw([]);
	/** Rises with every model: what belongs to the one before is over. */
	generation = $state(0);
	#worker: Worker | undefined;
	#client: Client<Calls> | undefined;
	#loading: AbortController | undefined;

	get call(): Client<Calls> {
		if (this.#client === undefined) this.#spawn();
		return this.#client as Client<Calls>;
	}

	async refresh(): Promise<void> {
		[this.offers, this.stored] = await Promise.all([this.call("backends", null), this.call("stored", null)]);
	}

	/** Never rejects: the problem is shown. Resolves with whether the model is there. */
	async load(choice: Choice): Promise<boolean> {
		this.#loading?.abort();
		const controller = new AbortController();
		this.#loading = controller;
		this.loading = true;
		this.problem = undefined;
		this.progress = undefined;
		this.model = undefined;
		this.generation++;
		this.#spawn();
		try {
			const onEvent = (progress: Progress): void => {
				this.progress = progress;
			};
			this.model = await this.call("load", choice, { signal: controller.signal, onEvent });
			this.choice = choice;
		} catch (error) {
			if (this.#loading !== controller) return false;
			this.problem = controller.signal.aborted
				? "Loading was stopped. What has come is kept, and the next time goes on from there."
				: (error as Error).message;
		} finally {
			if (this.#loading === controller) {
				this.loading = false;
				this.progress = undefined;
				void this.refresh().catch(() => {});
			}
		}
		return this.model !== undefined;
	}

	cancel(): void {
		this.#loading?.abort();
	}

	async forget(name: string): Promise<void> {
		await this.call("forget", name);
		await this.refresh();
	}

	#spawn(): void {
		this.#worker?.terminate();
		const worker = new Worker(new URL("../worker/worker.ts", import.meta.url), { type: "module" });
		worker.addEventListener("error", (event) => {
			this.problem = `The worker has failed: ${event.message || "its script could not be loaded"}. Load the model again.`;
			this.loading = false;
			this.model = undefined;
		});
		this.#worker = worker;
		this.#client = connect<Calls>(worker);
	}
}

export const engine = new EngineState();
