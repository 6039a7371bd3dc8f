/**
 * The seam for segments that take what others drop: two of them, written here as objects alone, played against
 * lists kept by hand. `merge` keeps one entry per group, as a compressor would; `archive` keeps whole blocks at one
 * distance, as recalled memory does.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
	createCache,
	type Grouping,
	type KvCache,
	type Plan,
	restoreCache,
	rolling,
	type Segment,
	sink,
} from "./index.ts";

interface Receiver extends Grouping {
	readonly slots: number;
	readonly distance?: number;
}

function receiver({ group, entries, slots, distance }: Receiver): Segment {
	return {
		kind: "receiver",
		takes: { group, entries },
		slots,
		...(distance === undefined ? {} : { distance }),
		describe: () => `receiver:${group}:${entries}:${slots}`,
		// Drops whole groups' entries, so that every entry left still stands for group / entries tokens.
		head: (_start, end) => Math.ceil((end - slots) / entries) * entries,
	};
}

const merge = (rate: number, slots: number): Receiver => ({ group: rate, entries: 1, slots });
const archive = (size: number, blocks: number, distance: number): Receiver => ({
	group: size,
	entries: size,
	slots: size * blocks,
	distance,
});

/** What a group becomes: the newest of its stream indices stands for the merged ones. */
const become = (group: readonly number[], entries: number): number[] => group.slice(group.length - entries);

type Seen = readonly (readonly [number, number])[];

/** sink(a), receivers from old to new, rolling(b): lists, one token at a time. */
class ByHand {
	readonly sinks: number[] = [];
	readonly received: number[][];
	readonly window: number[] = [];
	length = 0;
	lost = 0;
	readonly a: number;
	readonly receivers: readonly Receiver[];
	readonly b: number;

	constructor(a: number, receivers: readonly Receiver[], b: number) {
		this.a = a;
		this.receivers = receivers;
		this.b = b;
		this.received = receivers.map(() => []);
	}

	look(): Seen {
		const numbered = [
			...this.sinks,
			...this.received.flatMap((list, k) => (this.receivers[k]?.distance === undefined ? list : [])),
			...this.window,
		];
		const at = new Map(numbered.map((index, place) => [index, numbered.length - place]));
		for (const [k, list] of this.received.entries()) {
			const { distance } = this.receivers[k] as Receiver;
			if (distance !== undefined) for (const index of list) at.set(index, distance);
		}
		return [...at, [this.length, 0] as const].sort(([a], [b]) => a - b);
	}

	step(): void {
		if (this.sinks.length < this.a) this.sinks.push(this.length);
		else this.window.push(this.length);
		this.length++;
		this.drop(this.window, this.b, this.receivers.length - 1, 1);
	}

	/** Each entry of `list` stands for `weight` tokens. */
	drop(list: number[], most: number, k: number, weight: number): void {
		const taker = this.receivers[k];
		if (taker === undefined) {
			while (list.length > most) {
				list.shift();
				this.lost += weight;
			}
			return;
		}
		while (list.length - most >= taker.group) {
			this.received[k]?.push(...become(list.splice(0, taker.group), taker.entries));
		}
		const held = this.received[k] as number[];
		const kept = Math.min(held.length, taker.slots);
		this.drop(held, kept, k - 1, (weight * taker.group) / taker.entries);
	}
}

/** Buffers in which every slot holds the stream index that its entry stands for. */
function seen(
	plan: Plan,
	buffers: readonly number[][],
	row: number,
	distances: readonly (number | undefined)[],
): Seen {
	const seen: [number, number][] = [];
	for (const view of plan.segments) {
		const query = view.queryPositions[row] as number;
		for (let e = view.visibleFrom[row] as number; e < view.cached.end; e++) {
			const key = distances[view.segment] === undefined ? view.origin + e : 0;
			seen.push([buffers[view.segment]?.[e % view.slots] as number, query - key]);
		}
	}
	const { pinned, visibleFrom } = plan.fresh;
	for (let j = 0; j <= row; j++) {
		if (j < pinned || j >= (visibleFrom[row] as number)) seen.push([plan.start + j, row - j]);
	}
	return seen.sort(([a], [b]) => a - b);
}

function carryOut(plan: Plan, buffers: readonly number[][], receivers: readonly Receiver[]): void {
	for (const { segment, row, slot, length } of plan.writes) {
		for (let j = 0; j < length; j++) (buffers[segment] as number[])[slot + j] = plan.start + row + j;
	}
	for (const { from, entries, to, into } of plan.transfers) {
		const [source, target] = [buffers[from] as number[], buffers[to] as number[]];
		const { group, entries: made } = receivers[to - 1] as Receiver;
		let next = into.start;
		for (let e = entries.start; e < entries.end; e += group) {
			const held = Array.from({ length: group }, (_, i) => source[(e + i) % source.length] as number);
			for (const index of become(held, made)) target[next++ % target.length] = index;
		}
		expect(next).toBe(into.end);
	}
}

/** expect's own comparison is too slow to be made a hundred thousand times: it is asked only to report a difference. */
function agree(actual: Seen, expected: Seen): void {
	if (actual.join() !== expected.join()) expect(actual).toEqual(expected);
}

interface Play {
	readonly a: number;
	readonly b: number;
	readonly receivers: readonly Receiver[];
	readonly chunks: readonly number[];
}

function play({ a, b, receivers, chunks }: Play): void {
	const policy = [sink(a), ...receivers.map(receiver), rolling(b)];
	let cache: KvCache = createCache(policy);
	const hand = new ByHand(a, receivers, b);
	const buffers = cache.slots().map((slots) => new Array<number>(slots).fill(Number.NaN));
	const distances = [undefined, ...receivers.map(({ distance }) => distance), undefined];
	for (const count of chunks) {
		const plan = cache.plan(count);
		for (let i = 0; i < plan.take; i++) {
			agree(seen(plan, buffers, i, distances), hand.look());
			hand.step();
		}
		carryOut(plan, buffers, receivers);
		cache.commit(plan);
		expect(cache.evicted).toBe(hand.lost);
		cache = restoreCache(policy, JSON.parse(JSON.stringify(cache.snapshot())));
	}
}

const chunks = fc.array(fc.integer({ min: 1, max: 9 }), { minLength: 20, maxLength: 60 });
const small = (max: number) => fc.integer({ min: 1, max });

test("K30–K35: a segment that merges drops agrees with lists kept by hand", () => {
	fc.assert(
		fc.property(small(4), small(9), small(4), small(5), chunks, (a, b, rate, slots, chunks) => {
			play({ a, b, receivers: [merge(rate, slots)], chunks });
		}),
		{ numRuns: 150 },
	);
});

test("K30–K35: an archive at one distance agrees with lists kept by hand", () => {
	fc.assert(
		fc.property(small(4), small(9), small(4), small(5), chunks, (a, b, size, blocks, chunks) => {
			play({ a, b, receivers: [archive(size, blocks, b)], chunks });
		}),
		{ numRuns: 150 },
	);
});

test("K30: receivers follow one another", () => {
	fc.assert(
		fc.property(small(4), small(9), small(3), small(3), chunks, (a, b, rate, slots, chunks) => {
			play({ a, b, receivers: [merge(rate, slots), merge(2, 3)], chunks });
			play({ a, b, receivers: [archive(rate, slots, b), merge(2, 3)], chunks });
		}),
		{ numRuns: 150 },
	);
});

test("K31 K34: the archive holds the complete blocks that are older than the window", () => {
	const [window, size] = [256, 16];
	const cache = createCache([sink(4), receiver(archive(size, 1000, window)), rolling(window)]);
	while (cache.length < 1000) {
		const plan = cache.plan(128);
		for (let i = 0; i < plan.take; i++) {
			const t = plan.start + i;
			const [sinks, blocks, recent] = plan.segments;
			const complete = Math.floor(Math.max(0, t - window - 4) / size) * size;
			// A block that this chunk completes would be missing here: the chunk has to end before.
			expect(blocks?.cached.end).toBe(complete);
			expect(blocks?.queryPositions[i]).toBe(window);
			expect(recent?.visibleFrom[i]).toBe(complete);
			expect(recent?.queryPositions[i]).toBe(t);
			expect(sinks?.queryPositions[i]).toBe(t - complete);
		}
		cache.commit(plan);
	}
});

test("K32 K33: a plan names the group that leaves and ends with it", () => {
	const cache = createCache([sink(1), receiver(merge(2, 3)), rolling(4)]);
	expect(cache.slots()).toEqual([1, 3, 6]);
	const plan = cache.plan(20);
	expect(plan.take).toBe(7);
	expect(plan.writes).toEqual([
		{ segment: 0, row: 0, slot: 0, length: 1 },
		{ segment: 2, row: 1, slot: 0, length: 6 },
	]);
	expect(plan.transfers).toEqual([
		{ from: 2, entries: { start: 0, end: 2 }, to: 1, into: { start: 0, end: 1 } },
	]);
	cache.commit(plan);
	expect(cache.plan(20).take).toBe(2);
});

test("K35: a rewind stops where the window begins", () => {
	const cache = createCache([sink(1), receiver(merge(2, 3)), rolling(4)]);
	cache.commit(cache.plan(7));
	expect([cache.retained, cache.evicted, cache.rewindable]).toEqual([6, 0, 4]);
	cache.rewind(4);
	expect([cache.length, cache.retained, cache.rewindable]).toEqual([3, 2, 0]);
	expect(() => cache.rewind(1)).toThrow("from 0 to 0");
});

test("K19 K31: a receiver that has not taken what was dropped is no state of the policy", () => {
	const policy = [sink(1), receiver(merge(2, 3)), rolling(4)];
	const cache = createCache(policy);
	cache.commit(cache.plan(7));
	const snapshot = cache.snapshot();
	const segments = snapshot.segments.map((counters, k) => (k === 1 ? { ...counters, end: 2 } : counters));
	expect(() => restoreCache(policy, { ...snapshot, segments })).toThrow(
		"segment rolling:4: expected the segment before to have taken 2 entries",
	);
});
