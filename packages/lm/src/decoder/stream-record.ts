/**
 * What a session knows of its stream besides keys and values: the cache's counters, the last tokens, the archive's
 * blocks, the attention that fell on the window, and what was told of the last token. It plans what is read next and
 * follows what was read. It runs nothing, so while a run is under way, and when it fails, all stays as it was.
 */
import type { KvCache, Plan, Range, Write } from "@tok/kv-cache";
import type { TokenAttention } from "../model.ts";
import { archiveLayout } from "./archive-layout.ts";
import { type ArchiveSnapshot, ArchiveState } from "./archive-state.ts";
import { AttentionMass, type MassSnapshot, tokensCounted } from "./attention-mass.ts";
import type { DecoderConfig } from "./decoder-config.ts";
import { type GraphSegment, isCounted } from "./graph-segments.ts";
import { type Choosers, checkHeld } from "./held-choice.ts";
import type { RunResult } from "./step-runner.ts";
import { type AttendedToken, tokenAttention } from "./token-attention.ts";
import { TokenTail } from "./token-tail.ts";

/** What there is to go on from. */
export interface RecordParts extends ArchiveSnapshot {
	/** The last tokens of the stream. Defaults to none. */
	readonly tail?: readonly number[];
	/** Tokens of the archive that came from elsewhere. Defaults to none. */
	readonly attached?: readonly number[];
	/** What fell on the window, where it is counted. */
	readonly attentionMass?: MassSnapshot | undefined;
	/** What was told of the last token. */
	readonly attended?: AttendedToken | undefined;
}

export interface RecordOptions {
	readonly config: DecoderConfig;
	/** As the graph sees them. */
	readonly segments: readonly GraphSegment[];
	/** Of their buffers. */
	readonly slots: readonly number[];
}

/** A run as it was read. */
export interface ReadRun {
	readonly plan: Plan;
	/** Who chose of its tokens; undefined where each did, or all together. */
	readonly choosers: Choosers | undefined;
	/** Whether all of its tokens made one choice. */
	readonly shared: boolean;
	/** Sums of the attention that fell: one of all tokens, or one of each. */
	readonly sums: number;
	readonly result: RunResult;
}

/** Tokens of a run that the stream goes on with. */
export interface ReadTokens {
	readonly ids: readonly number[];
	/** The first one's row of the run. */
	readonly row: number;
	/** What the cache goes on by: the run's plan, or for one of several rows its own. */
	readonly plan: Plan;
	/** Of the run's rows: those that were written before, and those that are now. */
	readonly earlier: readonly Write[];
	readonly writes: readonly Write[];
}

export class StreamRecord {
	readonly cache: KvCache;
	readonly tail: TokenTail;
	/** Undefined when the policy has none. */
	readonly archive: ArchiveState | undefined;
	/** The tokens with which the archive began. */
	readonly attached: readonly number[];
	/** What attention has fallen on the window; undefined where no compressor asks. */
	readonly attentionMass: AttentionMass | undefined;
	readonly #options: RecordOptions;
	/** Undefined before the first token, after a rewind, and where nothing was run or told. */
	#attended: AttendedToken | undefined;

	/** Throws on parts that are none of such a cache. */
	constructor(
		cache: KvCache,
		options: RecordOptions,
		{ tail, attached = [], attentionMass, attended, ...known }: RecordParts,
	) {
		this.cache = cache;
		this.tail = new TokenTail(cache.policy, tail);
		this.attached = attached;
		this.#options = options;
		this.#attended = attended;
		const { config, segments, slots } = options;
		const { queryHeads, kvHeads } = config;
		const layout = archiveLayout(cache.policy);
		const { recall } = segments[layout?.segment ?? -1] ?? {};
		if (layout !== undefined && recall !== undefined) {
			const own = {
				layout,
				recall,
				slots: slots[layout.segment] ?? 0,
				group: queryHeads / kvHeads,
				attached,
			};
			this.archive = new ArchiveState(cache, own, known);
		} else if (known.held !== undefined) checkHeld(known.held, { length: cache.length, count: 0 });
		if (isCounted(segments)) {
			this.attentionMass = new AttentionMass(config.layers.length * kvHeads);
			if (attentionMass !== undefined) this.attentionMass.restore(attentionMass, cache.slots().at(-1) ?? 0);
		}
	}

	/** All but the cache's counters. */
	snapshot(): RecordParts {
		return {
			tail: this.tail.all,
			attached: this.attached,
			...this.archive?.snapshot(),
			attentionMass: this.attentionMass?.snapshot(),
			attended: this.#attended,
		};
	}

	/** The tokens of entries that the archive holds, or takes next, by where they arrive. */
	archivedIds(entries: Range): readonly number[] {
		return this.archive?.ids(entries, this.tail.all) ?? [];
	}

	/** What the graph told of the token that was read last; undefined where it told nothing. */
	tokenAttention(): TokenAttention | undefined {
		if (this.#attended === undefined) return undefined;
		const { policy, attached } = this.cache;
		const { config, segments } = this.#options;
		return tokenAttention(this.#attended, { config, policy, segments, attached });
	}

	plan(count: number, scored: "all" | "last" = "all"): Plan {
		return this.cache.plan(count, { scored });
	}

	/** The plan, of no more tokens than see what their choosers saw, and send on what has been counted. */
	cut(whole: Plan): Plan {
		const receiver = this.attentionMass && whole.segments.at(-2);
		const counted = receiver === undefined ? whole.take : tokensCounted(receiver);
		const plan = counted < whole.take ? this.plan(counted) : whole;
		for (let cut = plan; ; ) {
			const alike = this.archive?.alike(cut) ?? cut.read;
			if (alike >= cut.read) return cut;
			cut = this.plan(alike);
		}
	}

	/** What a plan feeds: new tokens, after those that are read again. */
	fed({ read, take }: Plan, fresh: readonly number[]): readonly number[] {
		return read <= take ? fresh.slice(take - read) : [...this.tail.last(read - take), ...fresh];
	}

	/** Takes tokens of a run as the stream's next ones. */
	follow(run: ReadRun, { ids, row, plan, earlier, writes }: ReadTokens): void {
		const { archive, attentionMass } = this;
		const { recalled, fallen, told } = run.result;
		const rows = { start: row, end: row + ids.length };
		const last = rows.end - 1 + run.plan.read - run.plan.take;
		archive?.follow(recalled, run.plan, rows, { shared: run.shared, tail: this.tail.all });
		archive?.hold(recalled, run.plan, run.choosers, last);
		attentionMass?.count(ids, { fallen, plan, row, rows: run.sums, earlier, writes });
		this.cache.commit(plan);
		this.#attended = told && { run: told, row: last };
		this.tail.push(ids);
		// A token that is read alone, or was guessed, has chosen for itself.
		if (plan.read === 1) archive?.note(recalled, run.plan, row);
	}

	/** Forgets the last `count` tokens. Throws when the policy has not retained them. */
	rewind(count: number): void {
		this.cache.rewind(count);
		this.archive?.rewound();
		if (count === 0) return;
		this.attentionMass?.forget(this.tail.last(count));
		this.tail.drop(count);
		this.#attended = undefined;
	}
}
