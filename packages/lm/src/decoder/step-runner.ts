/**
 * Runs what is planned for a stream: carries out what leaves its segments, grows their buffers, and has the graph run,
 * for the stream alone, or for a single token together with those of other sessions. What a run that fails has left
 * behind lies in slots that nobody sees.
 */
import type { KvCache, Plan } from "@tok/kv-cache";
import type { RopeFrequencies } from "@tok/rope";
import type { KvStore } from "@tok/runtime";
import type { ArchiveState } from "./archive-state.ts";
import type { AttentionMass } from "./attention-mass.ts";
import { paddedSlots } from "./cache-cost.ts";
import type { DecoderEngine } from "./decoder-engine.ts";
import { exchangeEntries } from "./entry-rows.ts";
import type { GraphSegment } from "./graph-segments.ts";
import type { BatchPlace } from "./step-batch.ts";
import { StepFeeds, type StepOptions, type StepRow } from "./step-feeds.ts";
import { type StepResult, stepResult } from "./step-result.ts";
import type { AttendedRun } from "./token-attention.ts";
import { carryOut } from "./transfers.ts";

/** Which of the tokens that are read have their logits computed. */
export type Scored = "none" | "last" | "all";

export interface RunResult extends StepResult {
	/** Of a graph that tells of attention. */
	readonly told?: AttendedRun | undefined;
}

export interface StepRunnerOptions {
	readonly cache: KvCache;
	readonly store: KvStore;
	/** Of the graphs that read the store. */
	readonly segments: readonly GraphSegment[];
	/** Where single tokens are read together with other sessions'; undefined for a session on its own. */
	readonly place: BatchPlace | undefined;
	/** Whether its graph tells of attention. */
	readonly attention: boolean;
	/** Where a compressor asks for it. */
	readonly attentionMass: AttentionMass | undefined;
}

export class StepRunner {
	/** As long a context as the cache's in mind. */
	readonly ropes: readonly RopeFrequencies[];
	readonly #engine: DecoderEngine;
	readonly #options: StepRunnerOptions;
	readonly #feeds: StepFeeds;

	constructor(engine: DecoderEngine, options: StepRunnerOptions) {
		this.#engine = engine;
		this.#options = options;
		this.#feeds = new StepFeeds(engine.config, options.segments);
		this.ropes = engine.frequencies(options.cache.policy, options.cache.positions);
	}

	/** Puts those blocks of the archive first that leave with the next plan. Where each lies is known all the while. */
	async makeRoom(archive: ArchiveState): Promise<void> {
		const { cache, store } = this.#options;
		const { config } = this.#engine;
		for (const exchange of archive.exchanges()) {
			const { segment, entries, others } = exchange;
			await exchangeEntries({ config, store }, segment, [entries, others], cache.slots()[segment] as number);
			archive.exchange(exchange);
		}
	}

	/** Fresh keys and values are the caller's to write. */
	async run(row: Omit<StepRow, "ropes">, scored: Scored, options: StepOptions): Promise<RunResult> {
		const { place } = this.#options;
		const whole = { ...row, ropes: this.ropes };
		if (place === undefined || row.plan.read > 1) return this.#runAlone(whole, scored, options);
		await this.#carryOut(row.plan);
		return place.step(whole, scored !== "none");
	}

	async #runAlone(row: StepRow, scored: Scored, options: StepOptions): Promise<RunResult> {
		const { store, segments, attention } = this.#options;
		const { plan } = row;
		this.#grow(plan, false);
		await this.#carryOut(plan);
		const graph = await this.#engine.graph(segments, attention);
		// A store disposed meanwhile has none; the run says so.
		const slots = plan.segments.map((view, segment) => store.shape.slots[segment] ?? view.slots);
		const rows = attention ? options.attended : undefined;
		const feeds = this.#feeds.of([row], slots, logitRows(plan, scored), { ...options, attended: rows });
		const result = stepResult(await graph.run(feeds, { store }));
		// Only now: to attend to slots that nothing lies in takes as long.
		this.#grow(plan, true);
		const { attention: attended } = result;
		return { ...result, told: attended && rows && { attended, plan, slots, rows } };
	}

	/** To what the plan needs: the segment that takes the rest of the tokens, or the others. */
	#grow(plan: Plan, rest: boolean): void {
		const { cache, store, segments } = this.#options;
		plan.segments.forEach(({ slots }, segment) => {
			const kind = cache.policy[segment];
			if ((kind?.takes === "rest") !== rest || slots <= (store.shape.slots[segment] as number)) return;
			store.grow(segment, paddedSlots(slots, kind, segments[segment]?.format));
		});
	}

	async #carryOut(plan: Plan): Promise<void> {
		if (plan.transfers.length === 0) return;
		const { config, pairing, compressors } = this.#engine;
		const { cache, store, attentionMass } = this.#options;
		const { ropes } = this;
		await carryOut(plan, { config, pairing, policy: cache.policy, compressors, ropes, store, attentionMass });
	}
}

function logitRows({ read, take }: Plan, scored: Scored): number[] {
	if (scored === "none") return [];
	return scored === "last" ? [read - 1] : Array.from({ length: take }, (_, i) => read - take + i);
}
