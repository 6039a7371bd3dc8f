/** −ln p of a stream's tokens under a policy, by a model that is loaded when first needed. */
import { parsePolicy } from "@tok/kv-cache";
import { loadModel, type Model, type Precision } from "@tok/lm";
import { cpu } from "@tok/runtime-cpu";
import { showProgress } from "../support/progress.ts";

export interface Scoring {
	readonly ids: Int32Array;
	/** As `parsePolicy` reads it. */
	readonly policy: string;
	readonly precision: Precision;
	/** The first token that is scored. */
	readonly from?: number;
	readonly label: string;
}

/** Tokens of one graph call; the result does not depend on it. Logits of 512 tokens are 100 MB. */
const CHUNK = 512;

export class Scorer {
	readonly #name: string;
	readonly #threads: number;
	readonly #signal: AbortSignal;
	#loaded: { precision: Precision; model: Model } | undefined;

	constructor(name: string, { threads, signal }: { threads: number; signal: AbortSignal }) {
		this.#name = name;
		this.#threads = threads;
		this.#signal = signal;
	}

	/** Values of ids[from], ids[from + 1], … (nats). */
	async score({ ids, policy: text, precision, from = 1, label }: Scoring): Promise<Float32Array> {
		this.#signal.throwIfAborted();
		const model = await this.#model(precision);
		const policy = parsePolicy(text);
		return model.negativeLogLikelihoods(ids, {
			policy,
			from,
			chunk: CHUNK,
			signal: this.#signal,
			onProgress: (read) =>
				showProgress(`${label}: ${read.toLocaleString("en")} of ${ids.length.toLocaleString("en")} tokens`),
		});
	}

	/** One model at a time: both precisions together would need twice the memory. */
	async #model(precision: Precision): Promise<Model> {
		if (this.#loaded?.precision === precision) return this.#loaded.model;
		await this.dispose();
		const model = await loadModel(this.#name, { runtime: cpu({ threads: this.#threads }), precision });
		this.#loaded = { precision, model };
		return model;
	}

	async dispose(): Promise<void> {
		await this.#loaded?.model.dispose();
		this.#loaded = undefined;
	}
}
