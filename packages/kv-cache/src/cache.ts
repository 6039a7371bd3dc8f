/**
 * The cache that a session holds: counters only. It says what a chunk of tokens sees and where its keys and values
 * go (`plan`); the caller runs the graph, moves the tensors, and says so (`commit`).
 *
 *     for (let left = tokens; left > 0; ) {
 *         const plan = cache.plan(left);
 *         // feed plan.read tokens, do plan.writes
 *         cache.commit(plan);
 *         left -= plan.take;
 *     }
 */
import { type Planned, type Positions, planCascade } from "./cascade.ts";
import { fail, integer } from "./errors.ts";
import { choosingArchive, type Exchange, exchanged, exchangesOf, type Recalled } from "./eviction.ts";
import type { Plan } from "./plan.ts";
import { checkPolicy, type Policy } from "./policy.ts";
import { planRecompute } from "./recompute.ts";
import type { Segment } from "./segment.ts";
import { type CacheSnapshot, checkPositions, readSnapshot, writeSnapshot } from "./snapshot.ts";
import { evicted, initialState, retained, rewindable, rewound, type State, turned } from "./state.ts";

export interface PlanOptions {
	/** Which new tokens' logits the caller wants. "last" spares `recompute` the others. Defaults to "all". */
	readonly scored?: "all" | "last";
}

export interface CacheOptions {
	/** Defaults to "in-cache". */
	readonly positions?: Positions;
	/**
	 * Entries that the policy's archive holds from the start, in whole blocks: of another stream, whose tensors the
	 * caller has put into slots 0, 1, 2, … Defaults to 0.
	 */
	readonly archived?: number;
}

export interface KvCache {
	readonly policy: Policy;
	readonly positions: Positions;
	/** Tokens of the stream so far. */
	readonly length: number;
	/** Entries with which the archive began. They are the first ones that it drops. */
	readonly attached: number;
	/** Entries held now; for `recompute`, the tokens before the next one that the caller has to keep. */
	readonly retained: number;
	/** Tokens dropped for ever, those of attached entries among them. */
	readonly evicted: number;
	/** Most tokens that `rewind` accepts now. */
	readonly rewindable: number;
	/** Slots of the buffers now, in the policy's order; empty for `recompute`. */
	slots(): readonly number[];
	/**
	 * What the next `count` tokens, or the first of them (`Plan.take`), see and leave behind. Changes nothing.
	 * Throws unless `count` is an integer ≥ 1.
	 */
	plan(count: number, options?: PlanOptions): Plan;
	/**
	 * Where the least recalled blocks leave an archive: what has to change places before the next plan, whose room is made
	 * of the archive's first blocks. For each in turn, exchange what lies in the two places, then say so (`exchange`). Empty
	 * unless blocks have to leave that are not the first yet. Changes nothing.
	 *
	 * @param recalled How much fell on the archived block with this number on arrival (`SegmentView.arrivals`). Those with
	 * the least leave; of equals the one that came first.
	 */
	exchanges(recalled: Recalled): readonly Exchange[];
	/** Takes note that two blocks have changed places. Throws unless the archive holds them. */
	exchange(exchange: Exchange): void;
	/** Takes the plan's tokens as read. Throws unless this cache made the plan and has not changed since. */
	commit(plan: Plan): void;
	/**
	 * Marks the next token as the first of a chat turn. Mark where the user's messages begin: question and answer
	 * are then one turn, and leave together. Without effect on policies that take no note of turns.
	 */
	beginTurn(): void;
	/** Forgets the last `count` tokens. Throws when they are more than `rewindable`. */
	rewind(count: number): void;
	/** An independent cache in the same state. */
	fork(): KvCache;
	snapshot(): CacheSnapshot;
}

/** A cache of no tokens. Throws on a policy that cannot be, and on more archived entries than it holds. */
export function createCache(
	policy: Policy,
	{ positions = "in-cache", archived = 0 }: CacheOptions = {},
): KvCache {
	checkPositions(positions);
	checkPolicy(policy);
	return new Cache([...policy], positions, initialState(policy, archived));
}

/**
 * The cache that `snapshot` was taken of. Throws when that cache had another policy, and on counters that are
 * malformed or that the policy cannot reach.
 */
export function restoreCache(policy: Policy, snapshot: CacheSnapshot): KvCache {
	const { positions, state } = readSnapshot(policy, snapshot);
	return new Cache([...policy], positions, state);
}

class Cache implements KvCache {
	readonly policy: Policy;
	readonly positions: Positions;
	#state: State;
	/** The state from which each plan leads, and to which. */
	readonly #planned = new WeakMap<Plan, { readonly from: State; readonly to: State }>();

	constructor(policy: Policy, positions: Positions, state: State) {
		this.policy = policy;
		this.positions = positions;
		this.#state = state;
	}

	get length(): number {
		return this.#state.length;
	}

	get attached(): number {
		return this.#state.attached;
	}

	get retained(): number {
		return retained(this.#state);
	}

	get evicted(): number {
		return evicted(this.policy, this.#state);
	}

	get rewindable(): number {
		return rewindable(this.#state);
	}

	slots(): readonly number[] {
		return this.#state.segments.map(({ slots }) => slots).filter((slots) => slots > 0);
	}

	plan(count: number, options: PlanOptions = {}): Plan {
		integer("plan", count, 1, mostTokens, "Plan the stream in pieces.");
		const { plan, next } = this.#play(count, options);
		this.#planned.set(plan, { from: this.#state, to: next });
		return plan;
	}

	commit(plan: Plan): void {
		const planned = this.#planned.get(plan);
		if (planned?.from !== this.#state) {
			fail(
				"commit: expected a plan that this cache made as it stands, got " +
					`${planned === undefined ? "a plan that it did not make" : "one made before it changed"}. ` +
					"Plan again, and run the graph again.",
			);
		}
		this.#state = planned.to;
	}

	exchanges(recalled: Recalled): readonly Exchange[] {
		return exchangesOf(this.policy, choosingArchive(this.policy), this.#state, recalled);
	}

	exchange(exchange: Exchange): void {
		this.#state = exchanged(this.policy, this.#state, exchange);
	}

	beginTurn(): void {
		this.#state = turned(this.policy, this.#state);
	}

	rewind(count: number): void {
		integer("rewind", count, 0, this.rewindable, "Nothing before them is retained.");
		if (count > 0) this.#state = rewound(this.policy, this.#state, count);
	}

	fork(): KvCache {
		return new Cache(this.policy, this.positions, this.#state);
	}

	snapshot(): CacheSnapshot {
		return writeSnapshot(this.policy, this.positions, this.#state);
	}

	#play(count: number, { scored = "all" }: PlanOptions): Planned {
		const segment = this.policy[0] as Segment;
		return segment.kind === "recompute"
			? planRecompute(segment, this.positions, this.#state, count, scored)
			: planCascade(this.policy, this.positions, this.#state, count);
	}
}

/** A plan holds a few numbers per token and segment; a stream of more tokens is planned in pieces. */
const mostTokens = 2 ** 24;
