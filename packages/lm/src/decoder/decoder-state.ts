/**
 * A decoder reading one stream: the plan, the graph and the cache's tensors, in step. It reads tokens and returns
 * logits, and knows no text, no sampling and no files.
 */
import {
	type CacheSnapshot,
	createCache,
	formatPolicy,
	type KvCache,
	type Plan,
	type Policy,
	type Positions,
	type Range,
	restoreCache,
	type Write,
} from "@tok/kv-cache";
import type { RopeFrequencies } from "@tok/rope";
import { type KvShape, type KvStore, TokError } from "@tok/runtime";
import type { TokenAttention } from "../model.ts";
import { archiveLayout, tokensInReach } from "./archive-layout.ts";
import { type ArchiveExtent, archiveRows } from "./archive-rows.ts";
import { type ArchiveSnapshot, ArchiveState } from "./archive-state.ts";
import { AttentionMass, type MassSnapshot, tokensCounted } from "./attention-mass.ts";
import { paddedSlots } from "./cache-cost.ts";
import { createStore } from "./create-store.ts";
import type { DecoderEngine } from "./decoder-engine.ts";
import { exchangeEntries } from "./entry-rows.ts";
import { type GraphSegment, isCounted } from "./graph-segments.ts";
import { type Choosers, checkHeld } from "./held-choice.ts";
import type { BatchPlace, StepBatch } from "./step-batch.ts";
import { StepFeeds, type StepOptions, type StepRow } from "./step-feeds.ts";
import { NO_RESULT, type StepResult, stepResult } from "./step-result.ts";
import { type AttendedRun, tokenAttention } from "./token-attention.ts";
import { carryOut } from "./transfers.ts";

/**
 * Tokens that are remembered at the least, for whoever looks back on them (a repetition penalty does). Where a policy
 * needs more, more are.
 */
export const LEAST_TAIL = 4096;

/** Which of the tokens that are read have their logits computed. */
export type Scored = "none" | "last" | "all";

export interface Reading {
	/** Tokens read; at most what was asked for. */
	readonly take: number;
	/** float32 [0, 1 or take, vocabulary] */
	readonly logits: Float32Array;
	/** Frees the logits' memory once they have been used; they are empty then. */
	release(): void;
}

/** Rows of the last run, the first `kept` of which are the stream's. */
interface Ahead {
	readonly ids: readonly number[];
	readonly plan: Plan;
	readonly choosers: Choosers | undefined;
	readonly result: RunResult;
	readonly writes: Write[];
	kept: number;
}

interface RunResult extends StepResult {
	/** Of a graph that tells of attention. */
	readonly run?: AttendedRun | undefined;
}

interface StateParts extends ArchiveSnapshot {
	readonly store: KvStore;
	/** Of the graphs that read the store. Defaults to the policy's own. */
	readonly segments?: readonly GraphSegment[];
	readonly place?: BatchPlace;
	readonly tail?: readonly number[];
	/** Tokens of the archive that came from elsewhere. */
	readonly attached?: readonly number[];
	/** What fell on the window, where it is counted. */
	readonly attentionMass?: MassSnapshot | undefined;
	/** Its graph tells of attention. Defaults to false. */
	readonly attention?: boolean | undefined;
	/** What was told of the last token. */
	readonly attended?: AttendedToken | undefined;
}

/** The last token that was read, in the run that read it. */
interface AttendedToken {
	readonly run: AttendedRun;
	readonly row: number;
}

/** What a session file has besides the snapshot. */
interface RestoredParts extends Omit<StateParts, "store" | "segments" | "place" | "attended"> {
	readonly shape: KvShape;
	readonly tail: readonly number[];
	readonly attached: readonly number[];
}

/** The tokens with which an archive begins. */
export interface Attached {
	readonly ids: readonly number[];
	/** Per block, how often it has been recalled. Defaults to never. */
	readonly recalls?: readonly number[] | undefined;
}

export class DecoderState {
	readonly cache: KvCache;
	readonly store: KvStore;
	/** Undefined when the policy has none. */
	readonly archive: ArchiveState | undefined;
	/** What attention has fallen on the window; undefined where no compressor asks. */
	readonly attentionMass: AttentionMass | undefined;
	/** The tokens with which the archive began. */
	readonly attached: readonly number[];
	/** Whether its graph tells of attention. */
	readonly attention: boolean;
	readonly #engine: DecoderEngine;
	readonly #segments: readonly GraphSegment[];
	readonly #feeds: StepFeeds;
	readonly #ropes: readonly RopeFrequencies[];
	/** Where single tokens are read together with other sessions'; undefined for a session on its own. */
	readonly #place: BatchPlace | undefined;
	/** The last tokens of the stream, `#tailLimit` of them and at times some more. */
	#tail: number[];
	readonly #tailLimit: number;
	/** What `readAhead` has read and not settled. */
	#ahead: Ahead | undefined;
	/** Undefined before the first token, after a rewind, and where nothing was run or told. */
	#attended: AttendedToken | undefined;

	private constructor(
		engine: DecoderEngine,
		cache: KvCache,
		{
			store,
			segments = engine.segments(cache.policy),
			place,
			tail = [],
			attached = [],
			attention = false,
			attended,
			attentionMass,
			...known
		}: StateParts,
	) {
		this.#engine = engine;
		this.cache = cache;
		this.store = store;
		this.#place = place;
		this.#tail = [...tail];
		this.attached = attached;
		this.attention = attention;
		this.#attended = attended;
		this.#tailLimit = tailLimit(cache.policy);
		this.#segments = segments;
		this.#feeds = new StepFeeds(engine.config, this.#segments);
		this.#ropes = engine.frequencies(cache.policy, cache.positions);
		const { queryHeads, kvHeads } = engine.config;
		const layout = archiveLayout(cache.policy);
		const { recall } = segments[layout?.segment ?? -1] ?? {};
		if (layout !== undefined && recall !== undefined) {
			const slots = store.shape.slots[layout.segment] ?? 0;
			const options = { layout, recall, slots, group: queryHeads / kvHeads, attached };
			this.archive = new ArchiveState(cache, options, known);
		} else if (known.held !== undefined) checkHeld(known.held, { length: cache.length, count: 0 });
		if (isCounted(segments)) {
			this.attentionMass = new AttentionMass(engine.config.layers.length * kvHeads);
			if (attentionMass !== undefined) this.attentionMass.restore(attentionMass, cache.slots().at(-1) ?? 0);
		}
	}

	static create(
		engine: DecoderEngine,
		policy: Policy,
		positions: Positions,
		attention = false,
	): DecoderState {
		return DecoderState.withArchive(engine, policy, positions, { attached: { ids: [] }, attention });
	}

	/** Begins with an archive of these tokens, in whole blocks, whose entries the caller writes into the store. */
	static withArchive(
		engine: DecoderEngine,
		policy: Policy,
		positions: Positions,
		{ attached, attention }: { readonly attached: Attached; readonly attention?: boolean | undefined },
	): DecoderState {
		const cache = createCache(policy, { positions, archived: attached.ids.length });
		return new DecoderState(engine, cache, {
			store: createStore(engine, cache),
			...beginning(policy, attached),
			attention,
		});
	}

	/**
	 * In a place of a batch, which its store frees when the state is disposed. Throws when none is free.
	 *
	 * @param attached See `withArchive`.
	 */
	static inBatch(
		engine: DecoderEngine,
		policy: Policy,
		positions: Positions,
		{ batch, attached = { ids: [] } }: { readonly batch: StepBatch; readonly attached?: Attached },
	): DecoderState {
		const cache = createCache(policy, { positions, archived: attached.ids.length });
		const place = batch.take(policy);
		const { store } = place;
		const { segments } = batch;
		return new DecoderState(engine, cache, { store, segments, place, ...beginning(policy, attached) });
	}

	/**
	 * Continues from a snapshot, in buffers of its shape; the store is empty until it is loaded. Throws when these do not
	 * hold what the policy needs.
	 */
	static restore(
		engine: DecoderEngine,
		policy: Policy,
		snapshot: CacheSnapshot,
		{ shape, ...parts }: RestoredParts,
	): DecoderState {
		const cache = restoreCache(policy, snapshot);
		if (parts.attached.length !== cache.attached)
			throw new TokError(
				"lm",
				`snapshot: expected the ids of the ${cache.attached} tokens that the archive began with, got ` +
					`${parts.attached.length}. Save the session again.`,
			);
		const own = engine.segments(policy);
		if (isCounted(own) && parts.attentionMass === undefined)
			throw new TokError(
				"lm",
				`snapshot: expected what attention fell on the window, which ${formatPolicy(policy)} asks for, got none. ` +
					"It was saved where the compressor did not ask.",
			);
		const store = createStore(engine, cache, shape);
		const segments = own.map((segment, i) => ({ ...segment, format: shape.kinds?.[i]?.format ?? "float32" }));
		try {
			return new DecoderState(engine, cache, { ...parts, store, segments });
		} catch (error) {
			store.dispose();
			throw error;
		}
	}

	/** The last tokens of the stream: at least `LEAST_TAIL`, and as many as the policy can need again. */
	get tail(): readonly number[] {
		return this.#tail.slice(-this.#tailLimit);
	}

	/** The tokens of entries that the archive holds, or takes next, by where they arrive. */
	archivedIds(entries: Range): readonly number[] {
		return this.archive?.ids(entries, this.#tail) ?? [];
	}

	/** See `archiveRows`. */
	archiveRows(extent: ArchiveExtent): AsyncIterable<Float32Array> {
		const { config, pairing } = this.#engine;
		const { store, archive } = this;
		if (archive === undefined) throw new TokError("lm", "internal: expected an archive, got none.");
		const { layout } = archive;
		return archiveRows(extent, { config, store, layout, pairing, ropes: this.#ropes });
	}

	/** On its own, whether this one is in a batch or not. */
	fork(): DecoderState {
		const { attached } = this;
		return new DecoderState(this.#engine, this.cache.fork(), {
			store: this.store.fork(),
			segments: this.#segments,
			tail: this.#tail,
			attached,
			...this.archive?.snapshot(),
			attention: this.attention,
			attended: this.#attended,
			attentionMass: this.attentionMass?.snapshot(),
		});
	}

	/** What the graph told of the token that was read last; undefined where it told nothing. */
	tokenAttention(): TokenAttention | undefined {
		if (this.#attended === undefined) return undefined;
		const { run, row } = this.#attended;
		const { policy, attached } = this.cache;
		const { config } = this.#engine;
		return tokenAttention(run, row, { config, policy, segments: this.#segments, attached });
	}

	/** Forgets the last `count` tokens. Throws when the policy has not retained them. */
	rewind(count: number): void {
		this.cache.rewind(count);
		if (count > 0) this.attentionMass?.forget(this.#tail.slice(-count));
		this.archive?.rewound();
		// From the tail as others see it, so that a restored state remembers no less than this one.
		if (count > 0) this.#tail = this.tail.slice(0, -count);
		if (count > 0) this.#attended = undefined;
	}

	/**
	 * Reads the first tokens of ids[from..to), as many as one plan takes and no more than `chunk`.
	 * Nothing has changed when it throws.
	 */
	async read(
		ids: ArrayLike<number>,
		{ from, to, chunk, scored }: { from: number; to: number; chunk: number; scored: Scored },
	): Promise<Reading> {
		await this.settle();
		await this.#makeRoom();
		const { cache, archive } = this;
		const [recompute] = cache.policy;
		// Nothing is cached under `recompute`, so tokens that nobody scores need not be read in pieces, or at all.
		const whole = recompute?.kind === "recompute" && scored !== "all";
		const count = whole ? to - from : Math.min(chunk, to - from);
		let plan = this.#plan(count, scored === "all" ? "all" : "last");
		// Where only the last token's logits are wanted, the others need not choose for themselves what they recall.
		const each = scored === "all" || plan.read === 1;
		if (each) plan = this.#cut(plan);
		const choosers = each ? archive?.choosers(plan.read) : undefined;
		const fresh = Array.from({ length: plan.take }, (_, i) => ids[from + i] as number);
		const complete = plan.take === to - from;
		const wanted = scored === "last" && !complete ? "none" : scored;
		const known = this.attentionMass?.known(fresh) ?? 0;
		let result: RunResult = NO_RESULT;
		if (!(whole && wanted === "none")) {
			const row = { plan, ids: this.#fed(plan, fresh), ropes: this.#ropes, held: archive?.held, choosers };
			const choosing = each ? "each" : "shared";
			result = await this.#run(row, wanted, { choosing, counting: { from: known, apart: false } });
		}
		archive?.follow(result.recalled, plan, { start: 0, end: plan.take }, { shared: !each, tail: this.#tail });
		archive?.hold(result.recalled, plan, choosers, plan.read - 1);
		const { writes } = plan;
		this.attentionMass?.count(fresh, { fallen: result.fallen, plan, row: 0, rows: 1, earlier: [], writes });
		cache.commit(plan);
		this.#attend(result.run, plan.read - 1);
		this.#remember(fresh);
		// A token that is read alone has chosen for itself.
		if (plan.read === 1) archive?.note(result.recalled, plan, 0);
		const { logits, release } = result;
		return { take: plan.take, logits, release };
	}

	/**
	 * Whether `readAhead` can be called. `recompute` keeps no entries to go on from. A batch's runs leave fresh rows in
	 * the places between, which would take those of a session that has not settled.
	 */
	get canReadAhead(): boolean {
		return this.#place === undefined && this.cache.policy[0]?.kind !== "recompute";
	}

	/**
	 * Reads ids[0], and guesses after it: the first ones of them, `take` − 1. Logits are those of every row. A guess
	 * that turns out to be the stream's next token is taken as read by `keepGuess`, without a run; `settle` forgets
	 * the others. Nothing has changed when it throws.
	 */
	async readAhead(ids: readonly number[]): Promise<Reading> {
		await this.settle();
		await this.#makeRoom();
		const plan = this.#cut(this.#planAhead(ids.length));
		const read = ids.slice(0, plan.take);
		const choosers = this.archive?.choosers(plan.read);
		const row = { plan, ids: read, ropes: this.#ropes, held: this.archive?.held, choosers };
		const result = await this.#runAlone(row, "all", {
			counting: { from: 0, apart: true },
			attended: [...read.keys()],
		});
		this.#ahead = { ids: read, plan, choosers, result, writes: [], kept: 0 };
		this.keepGuess();
		const { logits, release } = result;
		return { take: plan.take, logits, release };
	}

	/** Takes the next row of `readAhead` as read. The first one is already. */
	keepGuess(): void {
		const { archive } = this;
		const ahead = this.#ahead;
		const id = ahead?.ids[ahead.kept];
		if (ahead === undefined || id === undefined)
			throw new TokError("lm", "internal: expected a guess that was read, got none.");
		// Entry by entry, so that the counters are right at any moment. Its place is the one that it has in the whole.
		const plan = this.#plan(1);
		const { kept, result } = ahead;
		const row = { start: kept, end: kept + 1 };
		archive?.follow(result.recalled, ahead.plan, row, { shared: false, tail: this.#tail });
		archive?.hold(result.recalled, ahead.plan, ahead.choosers, kept);
		const writes = plan.writes.map((write) => ({ ...write, row: write.row + kept }));
		const { fallen } = result;
		const { length: rows } = ahead.ids;
		this.attentionMass?.count([id], { fallen, plan, row: kept, rows, earlier: ahead.writes, writes });
		this.cache.commit(plan);
		ahead.writes.push(...writes);
		archive?.note(result.recalled, ahead.plan, kept);
		this.#attend(result.run, kept);
		ahead.kept++;
		this.#remember([id]);
	}

	/** Moves the rows that were kept into the cache, and forgets the others. Before it, only reads may follow. */
	async settle(): Promise<void> {
		if (this.#ahead === undefined) return;
		await this.store.write(this.#ahead.writes);
		this.#ahead = undefined;
	}

	dispose(): void {
		this.#ahead = undefined;
		this.store.dispose();
	}

	/** Puts those blocks of the archive first that leave next. Where each lies is known all the while. */
	async #makeRoom(): Promise<void> {
		const { archive, store, cache } = this;
		const { config } = this.#engine;
		for (const exchange of archive?.exchanges() ?? []) {
			const { segment, entries, others } = exchange;
			await exchangeEntries({ config, store }, segment, [entries, others], cache.slots()[segment] as number);
			archive?.exchange(exchange);
		}
	}

	#plan(count: number, scored: "all" | "last" = "all"): Plan {
		return this.cache.plan(count, { scored });
	}

	/** Guesses that would need larger buffers are left out, so that what a session allocates does not depend on them. */
	#planAhead(count: number): Plan {
		const first = this.#plan(1);
		for (; count > 1; count--) {
			const plan = this.#plan(count);
			if (plan.segments.every(({ slots }, i) => slots === first.segments[i]?.slots)) return plan;
		}
		return first;
	}

	/** A plan of no more tokens than see what their choosers saw, and send on what has been counted. */
	#cut(whole: Plan): Plan {
		const receiver = this.attentionMass && whole.segments.at(-2);
		const counted = receiver === undefined ? whole.take : tokensCounted(receiver);
		const plan = counted < whole.take ? this.#plan(counted) : whole;
		for (let cut = plan; ; ) {
			const alike = this.archive?.alike(cut) ?? cut.read;
			if (alike >= cut.read) return cut;
			cut = this.#plan(alike);
		}
	}

	#attend(run: AttendedRun | undefined, row: number): void {
		this.#attended = run && { run, row };
	}

	async #run(row: StepRow, scored: Scored, options: StepOptions): Promise<RunResult> {
		const { store } = this;
		const { plan } = row;
		const result =
			this.#place !== undefined && plan.read === 1
				? await this.#runWithOthers(this.#place, row, scored)
				: await this.#runAlone(row, scored, { ...options, attended: [plan.read - 1] });
		if (plan.writes.length > 0) await store.write(plan.writes);
		return result;
	}

	async #runAlone(row: StepRow, scored: Scored, options: StepOptions): Promise<RunResult> {
		const { store } = this;
		const { plan } = row;
		plan.segments.forEach(({ slots }, segment) => {
			if (slots <= (store.shape.slots[segment] as number)) return;
			const format = this.#segments[segment]?.format;
			store.grow(segment, paddedSlots(slots, this.cache.policy[segment], format));
		});
		await this.#carryOut(plan);
		const graph = await this.#engine.graph(this.#segments, this.attention);
		// A store disposed meanwhile has none; the run says so.
		const slots = plan.segments.map((view, segment) => store.shape.slots[segment] ?? view.slots);
		const attended = this.attention ? options.attended : undefined;
		const feeds = this.#feeds.of([row], slots, logitRows(plan, scored), { ...options, attended });
		const result = stepResult(await graph.run(feeds, { store }));
		return {
			...result,
			run: result.attention && attended && { attended: result.attention, plan, slots, rows: attended },
		};
	}

	async #runWithOthers(place: BatchPlace, row: StepRow, scored: Scored): Promise<StepResult> {
		await this.#carryOut(row.plan);
		return place.step(row, scored !== "none");
	}

	async #carryOut(plan: Plan): Promise<void> {
		if (plan.transfers.length === 0) return;
		const { config, pairing, compressors } = this.#engine;
		const { store, attentionMass } = this;
		const { policy } = this.cache;
		await carryOut(plan, { config, pairing, policy, compressors, ropes: this.#ropes, store, attentionMass });
	}

	/** The plan's tokens: new ones, after those that are read again. */
	#fed({ read, take }: Plan, fresh: readonly number[]): readonly number[] {
		return read <= take ? fresh.slice(take - read) : [...this.#tail.slice(take - read), ...fresh];
	}

	#remember(ids: readonly number[]): void {
		for (const id of ids) this.#tail.push(id);
		// Trimmed now and then, so that a token costs the same whatever the limit.
		if (this.#tail.length > 2 * this.#tailLimit + 1024) this.#tail = this.#tail.slice(-this.#tailLimit);
	}
}

function logitRows({ read, take }: Plan, scored: Scored): number[] {
	if (scored === "none") return [];
	return scored === "last" ? [read - 1] : Array.from({ length: take }, (_, i) => read - take + i);
}

/** What a session begins with. */
function beginning(policy: Policy, { ids, recalls }: Attached): Pick<StateParts, "attached" | "blocks"> {
	const { blockSize = 1 } = archiveLayout(policy) ?? {};
	const never = new Array<number>(ids.length / blockSize).fill(0);
	return { attached: ids, blocks: { ids, recalls: recalls ?? never } };
}

function tailLimit(policy: Policy): number {
	return Math.max(LEAST_TAIL, tokensInReach(policy) + 1);
}

/** Throws unless every id is a token of the vocabulary. */
export function checkIds(ids: ArrayLike<number>, vocabularySize: number): void {
	for (let i = 0; i < ids.length; i++) {
		const id = ids[i] as number;
		if (!Number.isInteger(id) || id < 0 || id >= vocabularySize)
			throw new TokError(
				"lm",
				`ids: expected integers from 0 to ${vocabularySize - 1}, got ${id} at index ${i}. They belong to another model.`,
			);
	}
}
