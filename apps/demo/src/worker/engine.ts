/**
 * The one model that is loaded. When the browser takes its device away, it is opened on another one, from what is kept
 * of its file; sessions follow by themselves (`lasting-session.ts`).
 */
import { formatPolicy, parsePolicy } from "@tok/kv-cache";
import { type Model, type Progress, removeStoredModel, storedModels } from "@tok/lm";
import type { BackendOffer } from "../lib/pick-runtime.ts";
import type { Context } from "../lib/rpc.ts";
import type { DeviceEvent, LoadedModel, LoadRequest, PolicyCost, StoredInfo } from "../protocol.ts";
import { backends } from "./backends.ts";
import type { Host } from "./lasting-session.ts";
import { type OpenModel, openModel } from "./open-model.ts";

/** A GPU that is lost so often, each time so soon, is left for the processor. */
const MOST_LOSSES = 3;
const SOON = 60_000;

export class Engine implements Host {
	/** Settled once a model is there; anew with every one. */
	#open: Promise<OpenModel> | undefined;
	#opened: OpenModel | undefined;
	#losses = 0;
	#tell: (event: DeviceEvent) => void = () => {};

	get model(): Model {
		if (this.#opened === undefined) throw new Error("No model is loaded yet. Load one first.");
		return this.#opened.model;
	}

	/** The model on a device that is there; waits while it is opened on another one. */
	async current(): Promise<OpenModel> {
		if (this.#open === undefined) throw new Error("No model is loaded yet. Load one first.");
		return this.#open;
	}

	backends(): Promise<readonly BackendOffer[]> {
		return Promise.all(backends.map((backend) => backend.offer()));
	}

	async load(request: LoadRequest, context: Context<Progress>): Promise<LoadedModel> {
		const before = this.#opened;
		this.#opened = undefined;
		await before?.close();
		this.#losses = 0;
		return (await this.#start(request, context)).info;
	}

	/** Tells of lost devices, for as long as the page listens. */
	watch({ signal, emit }: Context<DeviceEvent>): Promise<null> {
		this.#tell = emit;
		return new Promise((resolve) => signal.addEventListener("abort", () => resolve(null)));
	}

	/** Of a session that is read again. */
	reread(read: number, total: number): void {
		this.#tell({ kind: "reread", read, total });
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

	#start(request: LoadRequest, context: Context<Progress>): Promise<OpenModel> {
		this.#opened = undefined;
		this.#open = openModel(request, context).then((opened) => {
			this.#opened = opened;
			const since = performance.now();
			// Its end by `close` is no loss.
			void opened.lost?.then((reason) => {
				if (this.#opened !== opened) return;
				if (performance.now() - since > SOON) this.#losses = 0;
				return this.#reopen(request, opened, reason);
			});
			return opened;
		});
		return this.#open;
	}

	async #reopen(request: LoadRequest, { info, close }: OpenModel, reason: string): Promise<void> {
		this.#tell({ kind: "lost", reason });
		const prefer = ++this.#losses < MOST_LOSSES ? info.backend : "wasm";
		const nobody = new AbortController().signal;
		const closed = close();
		this.#opened = undefined;
		this.#open = closed.then(() => this.#start({ ...request, prefer }, { signal: nobody, emit: () => {} }));
		try {
			const { info } = await this.#open;
			this.#tell({ kind: "reopened", model: info });
		} catch (error) {
			this.#tell({ kind: "failed", message: (error as Error).message });
		}
	}
}
