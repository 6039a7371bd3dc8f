/**
 * Every policy, position mode, chunking and sequence of operations against a list kept by hand: StreamingLLM one
 * token at a time, on a plain array of stream indices. For every query of every plan the keys that it sees and
 * their distances must be the list's, and the slots must hold the entries that the plan says they hold.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
	createCache,
	dense,
	freshMask,
	type KvCache,
	type Plan,
	type Policy,
	type Positions,
	recompute,
	restoreCache,
	rolling,
	segmentMask,
	sink,
} from "./index.ts";

interface Rules {
	readonly sinks: readonly number[];
	readonly slots: number;
	readonly kind: "rolling" | "turns" | "dense" | "recompute";
	readonly positions: Positions;
	/** A layer's own window; Infinity for none. */
	readonly layerWindow: number;
}

/** [stream index, distance], oldest first. */
type Seen = readonly (readonly [number, number])[];

/** The policy by hand: the kept tokens are a list; one token at a time. */
class Naive {
	kept: number[] = [];
	length = 0;
	evicted = 0;
	turns = new Set<number>();
	readonly rules: Rules;

	constructor(rules: Rules) {
		this.rules = rules;
	}

	get sinks(): number {
		return this.rules.sinks.reduce((a, b) => a + b, 0);
	}

	look(): Seen {
		const keys = [...this.kept, this.length];
		const position = (index: number, place: number) => (this.rules.positions === "original" ? index : place);
		const query = position(this.length, this.kept.length);
		return keys.map((index, place) => [index, query - position(index, place)] as const);
	}

	step(): void {
		const { kept, sinks, rules } = this;
		kept.push(this.length++);
		if (kept.length <= sinks + rules.slots) return;
		const next = kept.findIndex((index, place) => place > sinks && this.turns.has(index));
		const dropped = rules.kind === "turns" && next > 0 ? next - sinks : 1;
		kept.splice(sinks, dropped);
		this.evicted += dropped;
	}

	get rewindable(): number {
		return this.evicted > 0 ? this.kept.length - this.sinks : this.length;
	}

	rewind(count: number): void {
		if (count === 0) return;
		this.kept.length -= count;
		this.length -= count;
		this.turns = new Set([...this.turns].filter((index) => index < this.length));
	}

	clone(): Naive {
		const copy = new Naive(this.rules);
		return Object.assign(copy, {
			kept: [...this.kept],
			length: this.length,
			evicted: this.evicted,
			turns: new Set(this.turns),
		});
	}
}

/** expect's own calls are too slow to be made a million times: it is asked only to report a difference. */
function same(actual: unknown, expected: unknown): void {
	if (!Object.is(actual, expected)) expect(actual).toBe(expected);
}

function agree(actual: Seen, expected: Seen): void {
	const equal =
		actual.length === expected.length &&
		actual.every(([index, distance], i) => index === expected[i]?.[0] && distance === expected[i]?.[1]);
	if (!equal) expect(actual).toEqual(expected);
}

function policyOf({ sinks, slots, kind }: Rules): Policy {
	if (kind === "recompute") return [recompute(slots)];
	const tail = kind === "dense" ? dense() : rolling(slots, { turns: kind === "turns" });
	return [...sinks.map(sink), tail];
}

/** A cache, its buffers (each slot holds the stream index of its entry) and the list that it must agree with. */
class Subject {
	readonly rules: Rules;
	cache: KvCache;
	naive: Naive;
	buffers: number[][];
	scored: "all" | "last" = "all";

	constructor(rules: Rules) {
		this.rules = rules;
		this.cache = createCache(policyOf(rules), { positions: rules.positions });
		this.naive = new Naive(rules);
		this.buffers = this.cache.slots().map((slots) => new Array(slots).fill(Number.NaN));
	}

	fork(): Subject {
		const other = new Subject(this.rules);
		other.cache = this.cache.fork();
		other.naive = this.naive.clone();
		other.buffers = this.buffers.map((slots) => [...slots]);
		return other;
	}

	/** Reads tokens in chunks; returns the plans that it took. */
	read(count: number, chunk: number): number {
		let plans = 0;
		for (let left = count; left > 0; plans++) {
			const asked = Math.min(left, chunk);
			const plan = this.cache.plan(asked, { scored: this.scored });
			this.check(plan, asked);
			this.cache.commit(plan);
			left -= plan.take;
		}
		return plans;
	}

	check(plan: Plan, asked: number): void {
		const { cache, naive, scored } = this;
		same(plan.start, naive.length);
		for (const { segment, slots } of plan.segments) {
			const buffer = this.buffers[segment] as number[];
			while (buffer.length < slots) buffer.push(Number.NaN);
		}
		const masks = plan.segments.map(({ slots }) => new Float32Array(plan.read * slots));
		const fresh = new Float32Array(plan.read ** 2);
		const { layerWindow } = this.rules;
		const options = Number.isFinite(layerWindow) ? { window: layerWindow } : {};
		for (const [k, view] of plan.segments.entries()) segmentMask(view, masks[k] as Float32Array, options);
		freshMask(plan, fresh, options);

		for (let i = 0; i < plan.take; i++) {
			const row = plan.read - plan.take + i;
			const look = naive.look();
			if (scored === "all" || i === plan.take - 1) {
				agree(this.seen(plan, row), look);
				const within = look.filter(([, distance]) => distance < layerWindow);
				agree(this.unmasked(plan, row, masks, fresh), within);
			}
			naive.step();
		}
		this.checkCut(plan, asked);

		for (const { segment, row, slot, length } of plan.writes) {
			const buffer = this.buffers[segment] as number[];
			same(slot + length <= buffer.length, true);
			for (let j = 0; j < length; j++) buffer[slot + j] = plan.start + row + j;
		}
		same(plan.transfers.length, 0);
		same(cache.length, plan.start);
	}

	/** A chunk is cut only where the next query meets a fresh key at another distance than the chunk's own. */
	checkCut(plan: Plan, asked: number): void {
		if (plan.take === asked) return;
		same(plan.take < asked, true);
		if (this.rules.kind === "recompute") {
			const [oldest] = this.naive.look()[0] as Seen[number];
			same(oldest > plan.start + plan.take - plan.read, true);
			return;
		}
		const { length } = this.naive;
		const moved = this.naive
			.look()
			.some(([index, distance]) => index >= plan.start && distance !== length - index);
		same(moved, true);
	}

	/** What the ranges of the plan and the buffers say that a row sees. */
	seen(plan: Plan, row: number): Seen {
		const seen: [number, number][] = [];
		for (const view of plan.segments) {
			const buffer = this.buffers[view.segment] as number[];
			const query = view.queryPositions[row] as number;
			same((view.visibleFrom[row] as number) >= view.cached.start, true);
			for (let e = view.visibleFrom[row] as number; e < view.cached.end; e++) {
				seen.push([buffer[e % view.slots] as number, query - (view.origin + e)]);
			}
		}
		const { pinned, positions, visibleFrom } = plan.fresh;
		for (let j = 0; j <= row; j++) {
			if (j >= pinned && j < (visibleFrom[row] as number)) continue;
			seen.push(this.freshKey(plan, positions, row, j));
		}
		return seen;
	}

	/** The same by the masks alone. */
	unmasked(plan: Plan, row: number, masks: readonly Float32Array[], fresh: Float32Array): Seen {
		const seen: [number, number][] = [];
		for (const [k, view] of plan.segments.entries()) {
			for (let slot = 0; slot < view.slots; slot++) {
				if (masks[k]?.[row * view.slots + slot] !== 0) continue;
				const index = this.buffers[view.segment]?.[slot] as number;
				// The stream index finds the entry again: no eviction renumbers a segment's entries.
				seen.push([index, (view.queryPositions[row] as number) - index]);
			}
		}
		for (let j = 0; j < plan.read; j++) {
			if (fresh[row * plan.read + j] === 0) seen.push(this.freshKey(plan, plan.fresh.positions, row, j));
		}
		return seen.sort(([a], [b]) => a - b);
	}

	freshKey(plan: Plan, positions: Float64Array, row: number, j: number): [number, number] {
		const index = plan.start + plan.take - plan.read + j;
		return [index, (positions[row] as number) - (positions[j] as number)];
	}

	checkCounters(): void {
		const { cache, naive } = this;
		same(cache.length, naive.length);
		same(cache.retained, naive.kept.length);
		same(cache.evicted, naive.evicted);
		same(cache.rewindable, naive.rewindable);
		same(cache.retained + cache.evicted, cache.length);
		same(cache.slots().join(), this.buffers.map((buffer) => buffer.length).join());
	}
}

const rulesArbitrary: fc.Arbitrary<Rules> = fc
	.record({
		sinks: fc.array(fc.integer({ min: 1, max: 4 }), { maxLength: 2 }),
		slots: fc.integer({ min: 1, max: 12 }),
		kind: fc.constantFrom("rolling", "rolling", "turns", "turns", "dense", "recompute"),
		positions: fc.constantFrom("in-cache", "original"),
		layerWindow: fc.constantFrom(Number.POSITIVE_INFINITY, 1, 2, 5, 9),
	})
	.map((rules) => ({
		...rules,
		sinks: rules.kind === "recompute" ? [] : rules.sinks,
		slots: rules.kind === "dense" ? Number.POSITIVE_INFINITY : rules.slots,
	}));

const operationArbitrary = fc.oneof(
	{
		weight: 6,
		arbitrary: fc.record({
			op: fc.constant("read" as const),
			count: fc.integer({ min: 1, max: 12 }),
			chunk: fc.constantFrom<number>(1, 1, 2, 3, 5, 12),
			last: fc.boolean(),
		}),
	},
	{ weight: 2, arbitrary: fc.record({ op: fc.constant("turn" as const) }) },
	{
		weight: 2,
		arbitrary: fc.record({
			op: fc.constant("rewind" as const),
			share: fc.double({ min: 0, max: 1, noNaN: true }),
		}),
	},
	{ weight: 1, arbitrary: fc.record({ op: fc.constantFrom("fork" as const, "restore" as const) }) },
);

type Operation = typeof operationArbitrary extends fc.Arbitrary<infer T> ? T : never;

/** Plays one operation; returns the subject to go on with and how many calls of the cache it was. */
function play(subject: Subject, operation: Operation): { next: Subject; calls: number } {
	let next = subject;
	let calls = 1;
	if (operation.op === "read") {
		const exclusive = subject.rules.kind === "recompute" && operation.last;
		subject.scored = exclusive ? "last" : "all";
		calls = subject.read(operation.count, operation.chunk);
	} else if (operation.op === "turn") {
		subject.cache.beginTurn();
		subject.naive.turns.add(subject.naive.length);
	} else if (operation.op === "rewind") {
		const most = subject.cache.rewindable;
		// Mostly a little; now and then all.
		const count = Math.round(most * operation.share ** 4);
		subject.cache.rewind(count);
		subject.naive.rewind(count);
	} else if (operation.op === "fork") {
		next = subject.fork();
		// What the original goes on to do must not reach the fork.
		subject.read(3, 2);
	} else {
		const json = JSON.parse(JSON.stringify(subject.cache.snapshot()));
		subject.cache = restoreCache(policyOf(subject.rules), json);
		same(subject.cache.positions, subject.rules.positions);
	}
	next.checkCounters();
	return { next, calls };
}

test("K2–K25: any sequence of operations agrees with a list kept by hand, ≥ 100,000 operations", () => {
	let operations = 0;
	fc.assert(
		fc.property(
			rulesArbitrary,
			fc.array(operationArbitrary, { minLength: 40, maxLength: 80 }),
			(rules, sequence) => {
				let subject = new Subject(rules);
				for (const operation of sequence) {
					const { next, calls } = play(subject, operation);
					subject = next;
					operations += calls;
				}
			},
		),
		{ numRuns: 800 },
	);
	expect(operations).toBeGreaterThanOrEqual(100_000);
});

test("K4: a window whose buffers grow while it fills agrees with the list", () => {
	const read = fc.record({
		op: fc.constant("read" as const),
		count: fc.integer({ min: 1, max: 200 }),
		chunk: fc.constantFrom(1, 40, 300),
		last: fc.boolean(),
	});
	const rewind = fc.record({
		op: fc.constant("rewind" as const),
		share: fc.double({ min: 0, max: 1, noNaN: true }),
	});
	const restore = fc.record({ op: fc.constantFrom("fork" as const, "restore" as const) });
	const sequence = fc.array(fc.oneof({ weight: 5, arbitrary: read }, rewind, restore), {
		minLength: 10,
		maxLength: 20,
	});
	fc.assert(
		fc.property(
			rulesArbitrary.filter(({ kind }) => kind === "rolling" || kind === "turns"),
			fc.integer({ min: 257, max: 700 }),
			sequence,
			(rules, slots, operations) => {
				let subject = new Subject({ ...rules, slots });
				for (const operation of operations) subject = play(subject, operation).next;
			},
		),
		{ numRuns: 30 },
	);
});
