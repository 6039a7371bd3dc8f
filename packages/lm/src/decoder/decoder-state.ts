/**
 * A decoder reading one stream: what is known of it (`StreamRecord`), the cache's tensors, and what runs the graph on them
 * (`StepRunner`), in step. It reads tokens and returns logits, and knows no text, no sampling and no files.
 */
import {
	type CacheSnapshot,
	createCache,
	formatPolicy,
	type KvCache,
	type Policy,
	type Positions,
	type Range,
	restoreCache,
} from "@tok/kv-cache";
import { type KvShape, type KvStore, TokError } from "@tok/runtime";
import type { TokenAttention } from "../model.ts";
import { archiveLayout } from "./archive-layout.ts";
import { type ArchiveExtent, archiveRows } from "./archive-rows.ts";
import type { ArchiveState } from "./archive-state.ts";
import type { AttentionMass } from "./attention-mass.ts";
import { createStore } from "./create-store.ts";
import type { DecoderEngine } from "./decoder-engine.ts";
import { type GraphSegment, isCounted } from "./graph-segments.ts";
import { GuessedRows, planGuesses } from "./guessed-rows.ts";
import type { BatchPlace, StepBatch } from "./step-batch.ts";
import { NO_RESULT } from "./step-result.ts";
import { type RunResult, type Scored, StepRunner } from "./step-runner.ts";
import { type ReadRun, type RecordParts, StreamRecord } from "./stream-record.ts";

export interface Reading {
	/** Tokens read; at most what was asked for. */
	readonly take: number;
	/** float32 [0, 1 or take, vocabulary] */
	readonly logits: Float32Array;
	/** Frees the logits' memory once they have been used; they are empty then. */
	release(): void;
}

interface StateParts extends RecordParts {
	readonly store: KvStore;
	/** Of the graphs that read the store. Defaults to the policy's own. */
	readonly segments?: readonly GraphSegment[];
	readonly place?: BatchPlace;
	/** Its graph tells of attention. Defaults to false. */
	readonly attention?: boolean | undefined;
}

/** What a session file has besides the snapshot. */
interface RestoredParts extends Omit<RecordParts, "attended"> {
	readonly shape: KvShape;
	readonly tail: readonly number[];
	readonly attached: readonly number[];
	readonly attention?: boolean | undefined;
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
	readonly #record: StreamRecord;
	readonly #runner: StepRunner;
	/** Whether single tokens are read together with other sessions'. */
	readonly #inBatch: boolean;
	/** What `readAhead` has read and not settled. */
	#guessed: GuessedRows | undefined;

	private constructor(
		engine: DecoderEngine,
		cache: KvCache,
		{ store, segments = engine.segments(cache.policy), place, attention = false, ...known }: StateParts,
	) {
		const { slots } = store.shape;
		const record = new StreamRecord(cache, { config: engine.config, segments, slots }, known);
		const { archive, attached, attentionMass } = record;
		this.cache = cache;
		this.store = store;
		this.archive = archive;
		this.attentionMass = attentionMass;
		this.attached = attached;
		this.attention = attention;
		this.#engine = engine;
		this.#segments = segments;
		this.#record = record;
		this.#runner = new StepRunner(engine, { cache, store, segments, place, attention, attentionMass });
		this.#inBatch = place !== undefined;
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

	/** The last tokens of the stream: see `TokenTail`. */
	get tail(): readonly number[] {
		return this.#record.tail.ids;
	}

	/** The tokens of entries that the archive holds, or takes next, by where they arrive. */
	archivedIds(entries: Range): readonly number[] {
		return this.#record.archivedIds(entries);
	}

	/** See `archiveRows`. */
	archiveRows(extent: ArchiveExtent): AsyncIterable<Float32Array> {
		const { config, pairing } = this.#engine;
		const { store, archive } = this;
		if (archive === undefined) throw new TokError("lm", "internal: expected an archive, got none.");
		const { layout } = archive;
		return archiveRows(extent, { config, store, layout, pairing, ropes: this.#runner.ropes });
	}

	/** On its own, whether this one is in a batch or not. */
	fork(): DecoderState {
		return new DecoderState(this.#engine, this.cache.fork(), {
			...this.#record.snapshot(),
			store: this.store.fork(),
			segments: this.#segments,
			attention: this.attention,
		});
	}

	/** What the graph told of the token that was read last; undefined where it told nothing. */
	tokenAttention(): TokenAttention | undefined {
		return this.#record.tokenAttention();
	}

	/** Forgets the last `count` tokens. Throws when the policy has not retained them. */
	rewind(count: number): void {
		this.#record.rewind(count);
	}

	/**
	 * Reads the first tokens of ids[from..to), as many as one plan takes and no more than `chunk`.
	 * Nothing has changed when it throws.
	 */
	async read(
		ids: ArrayLike<number>,
		{ from, to, chunk, scored }: { from: number; to: number; chunk: number; scored: Scored },
	): Promise<Reading> {
		await this.#prepare();
		const record = this.#record;
		const { cache, archive } = this;
		const [recompute] = cache.policy;
		// Nothing is cached under `recompute`, so tokens that nobody scores need not be read in pieces, or at all.
		const whole = recompute?.kind === "recompute" && scored !== "all";
		const count = whole ? to - from : Math.min(chunk, to - from);
		let plan = record.plan(count, scored === "all" ? "all" : "last");
		// Where only the last token's logits are wanted, the others need not choose for themselves what they recall.
		const each = scored === "all" || plan.read === 1;
		if (each) plan = record.cut(plan);
		const choosers = each ? archive?.choosers(plan.read) : undefined;
		const fresh = Array.from({ length: plan.take }, (_, i) => ids[from + i] as number);
		const complete = plan.take === to - from;
		const wanted = scored === "last" && !complete ? "none" : scored;
		let result: RunResult = NO_RESULT;
		if (!(whole && wanted === "none")) {
			const row = { plan, ids: record.fed(plan, fresh), held: archive?.held, choosers };
			result = await this.#runner.run(row, wanted, {
				choosing: each ? "each" : "shared",
				counting: { from: this.attentionMass?.known(fresh) ?? 0, apart: false },
				attended: [plan.read - 1],
			});
			if (plan.writes.length > 0) await this.store.write(plan.writes);
		}
		const run = { plan, choosers, shared: !each, sums: 1, result };
		record.follow(run, { ids: fresh, row: 0, plan, earlier: [], writes: plan.writes });
		return readingOf(run);
	}

	/**
	 * Whether `readAhead` can be called. `recompute` keeps no entries to go on from. A batch's runs leave fresh rows in
	 * the places between, which would take those of a session that has not settled.
	 */
	get canReadAhead(): boolean {
		return !this.#inBatch && this.cache.policy[0]?.kind !== "recompute";
	}

	/**
	 * Reads ids[0], and guesses after it: the first ones of them, `take` − 1. Logits are those of every row. A guess
	 * that turns out to be the stream's next token is taken as read by `keepGuess`, without a run; `settle` forgets
	 * the others. Nothing has changed when it throws.
	 */
	async readAhead(ids: readonly number[]): Promise<Reading> {
		await this.#prepare();
		const { archive } = this;
		const plan = planGuesses(this.#record, ids.length);
		const read = ids.slice(0, plan.take);
		const choosers = archive?.choosers(plan.read);
		const result = await this.#runner.run({ plan, ids: read, held: archive?.held, choosers }, "all", {
			counting: { from: 0, apart: true },
			attended: [...read.keys()],
		});
		const run = { plan, choosers, shared: false, sums: plan.read, result };
		this.#guessed = new GuessedRows(read, run);
		this.keepGuess();
		return readingOf(run);
	}

	/** Takes the next row of `readAhead` as read. The first one is already. */
	keepGuess(): void {
		if (this.#guessed?.take(this.#record)) return;
		throw new TokError("lm", "internal: expected a guess that was read, got none.");
	}

	/** Moves the rows that were kept into the cache, and forgets the others. Before it, only reads may follow. */
	async settle(): Promise<void> {
		if (this.#guessed === undefined) return;
		await this.store.write(this.#guessed.writes);
		this.#guessed = undefined;
	}

	dispose(): void {
		this.#guessed = undefined;
		this.store.dispose();
	}

	/** For the next plan. */
	async #prepare(): Promise<void> {
		await this.settle();
		if (this.archive !== undefined) await this.#runner.makeRoom(this.archive);
	}
}

function readingOf({ plan, result }: ReadRun): Reading {
	const { logits, release } = result;
	return { take: plan.take, logits, release };
}

/** What a session begins with. */
function beginning(policy: Policy, { ids, recalls }: Attached): Pick<StateParts, "attached" | "blocks"> {
	const { blockSize = 1 } = archiveLayout(policy) ?? {};
	const never = new Array<number>(ids.length / blockSize).fill(0);
	return { attached: ids, blocks: { ids, recalls: recalls ?? never } };
}
