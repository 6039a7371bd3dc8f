/**
 * The page's side of the worker: the model that is loaded, the one that is on its way, and why one could not be.
 * Every load begins in a new worker: memory that WebAssembly has taken is given back with its worker alone.
 */
import type { Precision, Progress } from "@tok/lm";
import { formatCount } from "../lib/format.ts";
import type { BackendName, BackendOffer } from "../lib/pick-runtime.ts";
import { type Client, connect } from "../lib/rpc.ts";
import type { Calls, DeviceEvent, LoadedModel, LoadRequest, StoredInfo } from "../protocol.ts";

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
	/** What became of the device, when the browser has taken it away. */
	notice: string | undefined = $state();
	offers: readonly BackendOffer[] = $state.raw([]);
	stored: readonly StoredInfo[] = $state.raw([]);
	/** Rises with every model: what belongs to the one before is over. */
	generation = $state(0);
	#worker: Worker | undefined;
	#client: Client<Calls> | undefined;
	#loading: AbortController | undefined;
	/** Why the last device is gone. */
	#gone = "";

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
		this.notice = undefined;
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
			void this.call("watch", null, { onEvent: (event) => this.#take(event) });
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

	#take(event: DeviceEvent): void {
		if (event.kind === "lost") {
			this.#gone = `The browser has taken the GPU away (${event.reason.replace(/\.$/, "") || "it gave no reason"}).`;
			this.notice = `${this.#gone} The model is opened again …`;
		} else if (event.kind === "reopened") {
			this.model = event.model;
			this.notice = `${this.#gone} The model is on ${event.model.backend} again, and what was under way goes on.`;
		} else if (event.kind === "reread") {
			const read = `${formatCount(event.read)} of ${formatCount(event.total)} tokens`;
			this.notice = `${this.#gone} The model is on ${this.model?.backend} again; ${read} of the stream were read again.`;
		} else {
			this.model = undefined;
			this.notice = undefined;
			this.problem = `${this.#gone} The model could not be opened again: ${event.message} Load it again.`;
		}
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
