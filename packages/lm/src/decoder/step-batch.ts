/**
 * Steps of several sessions in one run of the graph. Each session has a place in a bank of stores; the single tokens
 * that they want read at the same time are gathered, and read as one batch. Whatever reads more tokens at once, such as
 * a prompt, runs alone.
 *
 * Weights are most of what a step of one token has to fetch, and a batch fetches them once.
 */
import { createCache, formatPolicy, fullSlots, type Policy, type Segment } from "@tok/kv-cache";
import { type KvBank, type KvStore, TokError } from "@tok/runtime";
import { later } from "../later.ts";
import { cacheShape } from "./cache-cost.ts";
import type { DecoderEngine } from "./decoder-engine.ts";
import { type GraphSegment, isCounted } from "./graph-segments.ts";
import { StepFeeds, type StepRow } from "./step-feeds.ts";
import { rowsOf, type StepResult, stepResult } from "./step-result.ts";

/** A session's place: its store, and the way into the batch. */
export interface BatchPlace {
	readonly store: KvStore;
	/** Reads one token together with whatever else is waiting. The logits are empty when they are not wanted. */
	step(row: StepRow, wantsLogits: boolean): Promise<StepResult>;
}

interface Waiting {
	readonly row: StepRow;
	readonly wantsLogits: boolean;
	resolve(result: StepResult): void;
	reject(error: unknown): void;
}

export class StepBatch {
	readonly policy: Policy;
	readonly bank: KvBank;
	readonly #engine: DecoderEngine;
	/** As its graph sees them. */
	readonly segments: readonly GraphSegment[];
	readonly #feeds: StepFeeds;
	readonly #stores: (KvStore | undefined)[];
	/** By place. */
	#waiting = new Map<number, Waiting>();
	/** A run is under way or about to begin. */
	#busy = false;

	/** Throws when the policy has no bound, or `size` such caches exceed the memory. */
	constructor(engine: DecoderEngine, policy: Policy, size: number) {
		// It says what is wrong with a policy that none can have.
		createCache(policy);
		const slots = fullSlots(policy);
		if (policy[0]?.kind === "recompute" || !slots.every(Number.isFinite))
			throw new TokError(
				"lm",
				`createBatch: expected a policy with a bound that keeps entries, got ${formatPolicy(policy)}. Use sink and rolling.`,
			);
		engine.checkPolicy(policy);
		this.policy = policy;
		this.#engine = engine;
		this.segments = engine.segments(policy);
		this.#feeds = new StepFeeds(engine.config, this.segments);
		this.bank = engine.runtime.createKvBank(
			cacheShape(engine.config, policy, slots, engine.remembering),
			size,
		);
		this.#stores = new Array<undefined>(size).fill(undefined);
	}

	/** Sessions that have a place now. */
	get open(): number {
		return this.#stores.filter((store) => store !== undefined && store.bytes > 0).length;
	}

	/** The first free place, for a session under `policy`. Throws when there is none, or the policy does not fit. */
	take(policy: Policy): BatchPlace {
		const { shape } = this.bank;
		this.#engine.checkPolicy(policy);
		const fits =
			isCounted(this.#engine.segments(policy)) === isCounted(this.segments) &&
			policy.length === this.policy.length &&
			policy.every((segment, i) => isAlike(segment, this.policy[i] as Segment)) &&
			fullSlots(policy).every((slots, segment) => slots <= (shape.slots[segment] as number));
		if (!fits)
			throw new TokError(
				"lm",
				`createSession: expected a policy within the batch's ${formatPolicy(this.policy)}, segment by segment, ` +
					`got ${formatPolicy(policy)}. Create the batch for the largest policy.`,
			);
		const place = this.#stores.findIndex((store) => store === undefined || store.bytes === 0);
		if (place < 0)
			throw new TokError(
				"lm",
				`createSession: expected a free place among the batch's ${this.bank.size}, got none. Dispose a session first.`,
			);
		const store = this.bank.open(place);
		this.#stores[place] = store;
		return { store, step: (row, wantsLogits) => this.#step(place, row, wantsLogits) };
	}

	dispose(): void {
		this.bank.dispose();
	}

	#step(place: number, row: StepRow, wantsLogits: boolean): Promise<StepResult> {
		return new Promise((resolve, reject) => {
			this.#waiting.set(place, { row, wantsLogits, resolve, reject });
			if (this.#busy) return;
			this.#busy = true;
			later(() => this.#run());
		});
	}

	/** Runs what is waiting, then whatever has come meanwhile. */
	async #run(): Promise<void> {
		const waiting = this.#waiting;
		this.#waiting = new Map();
		try {
			const resultOf = await this.#read(waiting);
			for (const [place, { resolve }] of waiting) resolve(resultOf(place));
		} catch (error) {
			for (const { reject } of waiting.values()) reject(error);
		}
		// Those that were answered choose their next tokens first.
		later(() => {
			if (this.#waiting.size > 0) void this.#run();
			else this.#busy = false;
		});
	}

	async #read(waiting: ReadonlyMap<number, Waiting>): Promise<(place: number) => StepResult> {
		const graph = await this.#engine.graph(this.segments);
		const places = [...waiting.keys()];
		const from = Math.min(...places);
		const to = Math.max(...places) + 1;
		const rows = Array.from({ length: to - from }, (_, i) => waiting.get(from + i)?.row);
		const wanted = places.filter((place) => waiting.get(place)?.wantsLogits);
		const { slots } = this.bank.shape;
		const logitRows = wanted.map((place) => place - from);
		const feeds = this.#feeds.of(rows, slots, logitRows);
		const result = stepResult(await graph.run(feeds, { places: { bank: this.bank, from, to } }));
		const rowOf = rowsOf(result, to - from, logitRows);
		return (place) => rowOf(place - from);
	}
}

/** Whether two segments are so but for their sizes: one graph reads both. */
function isAlike(a: Segment, b: Segment): boolean {
	const kind = ({ takes, recall, every = 1 }: Segment): string => JSON.stringify([takes, recall, every > 1]);
	return kind(a) === kind(b);
}
