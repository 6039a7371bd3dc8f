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
	parsePolicy,
	restoreCache,
	rolling,
	type Segment,
	sink,
} from "./index.ts";

interface Receiver extends Grouping {
	readonly slots: number;
	readonly distance?: number;
	readonly recall?: number;
}

function receiver({ group, entries, slots, distance, recall }: Receiver): Segment {
	return {
		kind: "receiver",
		takes: { group, entries },
		slots,
		...(distance === undefined ? {} : { distance }),
		...(recall === undefined ? {} : { recall }),
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
	recall: 1,
});

/** What a group becomes: the newest of its stream indices stands for the merged ones. */
const become = (group: readonly number[], entries: number): number[] => group.slice(group.length - entries);

const attachedTokens = (count: number): number[] => Array.from({ length: count }, (_, e) => e - count);

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

	/** The archive begins with entries of `attached` tokens before the stream's first: …, −2, −1. */
	constructor(a: number, receivers: readonly Receiver[], b: number, attached: number) {
		this.a = a;
		this.receivers = receivers;
		this.b = b;
		this.received = receivers.map(({ recall }) => (recall === undefined ? [] : attachedTokens(attached)));
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
		for (let e = view.visibleFrom[row] as number; e < (view.visibleTo[row] as number); e++) {
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

function transfer(plan: Plan, buffers: readonly number[][], receivers: readonly Receiver[]): void {
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

function write(plan: Plan, buffers: readonly number[][]): void {
	for (const { segment, row, slot, length } of plan.writes) {
		for (let j = 0; j < length; j++) (buffers[segment] as number[])[slot + j] = plan.start + row + j;
	}
}

/** Until they have their size, entries lie in slots that bear their numbers. */
function grow(buffers: readonly number[][], { segments }: Plan): void {
	for (const { segment, slots } of segments) {
		const buffer = buffers[segment] as number[];
		while (buffer.length < slots) buffer.push(Number.NaN);
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
	/** Blocks with which the archive begins, as many of them as it holds. Defaults to none. */
	readonly blocks?: number;
}

function play({ a, b: window, receivers, chunks, blocks = 0 }: Play): void {
	// A group is no larger than the window.
	const b = Math.max(window, receivers.at(-1)?.group ?? 1);
	const policy = [sink(a), ...receivers.map(receiver), rolling(b)];
	const taker = receivers.find(({ recall }) => recall !== undefined);
	const attached = taker === undefined ? 0 : Math.min(blocks * taker.entries, taker.slots);
	let cache: KvCache = createCache(policy, { archived: attached });
	const hand = new ByHand(a, receivers, b, attached);
	const buffers = cache.slots().map((slots) => new Array<number>(slots).fill(Number.NaN));
	attachedTokens(attached).forEach((token, e) => {
		(buffers[1 + receivers.indexOf(taker as Receiver)] as number[])[e] = token;
	});
	const distances = [undefined, ...receivers.map(({ distance }) => distance), undefined];
	for (const count of chunks) {
		// A plan that is thrown away after its transfers does no harm.
		const abandoned = cache.plan(count + 3);
		grow(buffers, abandoned);
		transfer(abandoned, buffers, receivers);
		const plan = cache.plan(count);
		transfer(plan, buffers, receivers);
		for (let i = 0; i < plan.take; i++) {
			agree(seen(plan, buffers, i, distances), hand.look());
			hand.step();
		}
		write(plan, buffers);
		cache.commit(plan);
		expect(cache.evicted).toBe(hand.lost);
		if (receivers.every(({ group, entries }) => group === entries))
			expect(cache.retained + cache.evicted).toBe(cache.length + attached);
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

test("K39: an archive that begins with blocks from elsewhere agrees with lists kept by hand", () => {
	fc.assert(
		fc.property(
			small(4),
			small(9),
			small(4),
			small(5),
			small(6),
			chunks,
			(a, b, size, most, blocks, chunks) => {
				play({ a, b, receivers: [archive(size, most, b)], chunks, blocks });
				play({ a, b, receivers: [merge(2, 3), archive(size, most + 1, b)], chunks, blocks });
			},
		),
		{ numRuns: 100 },
	);
	play({ a: 2, b: 40, receivers: [archive(8, 90, 40)], chunks: [300, 400, 77, 500], blocks: 90 });
});

test("K39: the stream sees its sinks and window as without what is attached", () => {
	const policy = parsePolicy("sink:2,memory:32/1x4,rolling:6:turns");
	const [plain, attached] = [createCache(policy), createCache(policy, { archived: 24 })];
	while (plain.length < 48) {
		if (plain.length % 3 === 0) for (const cache of [plain, attached]) cache.beginTurn();
		const count = Math.min(1 + (plain.length % 7), 48 - plain.length);
		const [want, got] = [plain.plan(count), attached.plan(count)];
		expect(got.segments.map((view, k) => (k === 1 ? [] : view))).toEqual(
			want.segments.map((view, k) => (k === 1 ? [] : view)),
		);
		expect([got.fresh, got.writes, got.take]).toEqual([want.fresh, want.writes, want.take]);
		plain.commit(want);
		attached.commit(got);
		expect(attached.rewindable).toBe(plain.rewindable);
	}
	expect([attached.length, attached.attached, plain.attached]).toEqual([48, 24, 0]);
	// Once full, the archive holds the newest: of what was attached nothing is left.
	expect([attached.retained, attached.evicted]).toEqual([plain.retained, plain.evicted + 24]);
});

test("K39: what is attached is whole blocks, and no more than the archive keeps", () => {
	const policy = parsePolicy("sink:2,memory:32/1x4,rolling:6");
	const create = (archived: number, text?: string) =>
		createCache(text === undefined ? policy : parsePolicy(text), { archived });
	expect(create(32).slots()).toEqual([2, 128, 9]);
	expect(() => create(30)).toThrow(
		"[tok/kv-cache] archived: expected whole blocks of 4, got 30. Leave the incomplete one out.",
	);
	expect(() => create(36)).toThrow("[tok/kv-cache] archived: expected an integer from 0 to 32, got 36.");
	expect(() => create(4, "sink:2,rolling:6")).toThrow("archived: expected an integer from 0 to 0, got 4.");
	expect(() => create(4, "recompute:6")).toThrow("archived: expected an integer from 0 to 0, got 4.");
	for (const bad of [-4, 0.5, Number.NaN]) expect(() => create(bad)).toThrow("archived: expected");
});

test("K19 K39: a snapshot keeps what was attached, and believes no other number", () => {
	const policy = parsePolicy("sink:2,memory:32/1x4,rolling:6");
	const cache = createCache(policy, { archived: 16 });
	for (let i = 0; i < 20; i++) cache.commit(cache.plan(1));
	const snapshot = JSON.parse(JSON.stringify(cache.snapshot()));
	const restored = restoreCache(policy, snapshot);
	expect(restored.attached).toBe(16);
	expect(restored.evicted).toBe(cache.evicted);
	expect(restored.plan(9)).toEqual(cache.plan(9));
	for (const attached of [0, 4, 15, 20, 36, -16, 0.5, "16", null])
		expect(() => restoreCache(policy, { ...snapshot, attached })).toThrow(
			/^\[tok\/kv-cache] snapshot: .*expected/,
		);
	const other = parsePolicy("sink:2,rolling:6");
	const plain = { ...createCache(other).snapshot(), attached: 16 };
	expect(() => restoreCache(other, plain)).toThrow("expected no archive to begin with, got 16 entries");
});

test("K10 K33: long chunks of either kind agree too", () => {
	const long = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 3, maxLength: 8 });
	fc.assert(
		fc.property(small(4), small(40), small(16), small(9), long, (a, b, group, slots, chunks) => {
			play({ a, b, receivers: [merge(group, slots)], chunks });
			play({ a, b, receivers: [archive(group, slots, b)], chunks });
			play({ a, b, receivers: [merge(2, 3), archive(group, slots + 1, b)], chunks });
		}),
		{ numRuns: 40 },
	);
});

test("K30: receivers follow one another", () => {
	fc.assert(
		fc.property(small(4), small(9), small(3), small(3), chunks, (a, b, rate, slots, chunks) => {
			play({ a, b, receivers: [merge(rate, slots), merge(2, 3)], chunks });
			play({ a, b, receivers: [archive(rate, Math.max(slots, 2), b), merge(2, 3)], chunks });
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
			expect(blocks?.visibleFrom[i]).toBe(0);
			expect(blocks?.visibleTo[i]).toBe(complete);
			expect(blocks?.queryPositions[i]).toBe(window);
			expect(recent?.visibleFrom[i]).toBe(complete);
			expect(recent?.queryPositions[i]).toBe(t);
			expect(sinks?.queryPositions[i]).toBe(t - complete);
		}
		cache.commit(plan);
	}
	// Only the beginning is cut, before the first eviction (K11).
	expect(cache.length).toBeLessThan(1000 + 128);
});

test("K32 K33: a plan names the group that leaves, and ends before its own tokens would", () => {
	const cache = createCache([sink(1), receiver(merge(2, 3)), rolling(4)]);
	expect(cache.slots()).toEqual([1, 67, 5]);
	// Sinks, a window and an incomplete group; the token after them would send the first two of the chunk on.
	const plan = cache.plan(20);
	expect(plan.take).toBe(6);
	expect(plan.writes).toEqual([
		{ segment: 0, row: 0, slot: 0, length: 1 },
		{ segment: 2, row: 1, slot: 0, length: 5 },
	]);
	expect(plan.transfers).toEqual([]);
	cache.commit(plan);
	const next = cache.plan(3);
	expect(next.transfers).toEqual([
		{ from: 2, entries: { start: 0, end: 2 }, to: 1, into: { start: 0, end: 1 } },
		{ from: 2, entries: { start: 2, end: 4 }, to: 1, into: { start: 1, end: 2 } },
	]);
	// Its first query sees no merged entry yet, its last the first of them.
	expect([...(next.segments[1]?.visibleTo ?? [])]).toEqual([0, 1, 1]);
	expect(next.segments[1]?.cached).toEqual({ start: 0, end: 2 });
	expect([...(next.segments[2]?.visibleFrom ?? [])]).toEqual([0, 2, 2]);
});

test("K33: a chunk ends where a receiver would lose what its first query sees", () => {
	const cache = createCache([sink(1), receiver(merge(2, 3)), rolling(400)]);
	while (cache.length < 1000) cache.commit(cache.plan(100));
	const plan = cache.plan(400);
	// Room for 64 merged entries, of 128 tokens.
	expect(plan.take).toBe(128);
	expect(plan.transfers).toHaveLength(64);
});

test("K35: a rewind stops where the window begins", () => {
	const cache = createCache([sink(1), receiver(merge(2, 3)), rolling(4)]);
	cache.commit(cache.plan(6));
	cache.commit(cache.plan(1));
	expect([cache.retained, cache.evicted, cache.rewindable]).toEqual([6, 0, 4]);
	cache.rewind(4);
	expect([cache.length, cache.retained, cache.rewindable]).toEqual([3, 2, 0]);
	expect(() => cache.rewind(1)).toThrow("from 0 to 0");
});

test("K19 K31: a receiver that has not taken what was dropped is no state of the policy", () => {
	const policy = [sink(1), receiver(merge(2, 3)), rolling(4)];
	const cache = createCache(policy);
	cache.commit(cache.plan(6));
	cache.commit(cache.plan(1));
	const snapshot = cache.snapshot();
	const segments = snapshot.segments.map((counters, k) => (k === 1 ? { ...counters, end: 2 } : counters));
	expect(() => restoreCache(policy, { ...snapshot, segments })).toThrow(
		"segment rolling:4: expected the segment before to have taken 2 entries",
	);
});

test("K10 K36 K37: chunks of compressive and memory equal single tokens", () => {
	const texts = [
		"sink:2,memory:48/2x4,rolling:9",
		"sink:2,compressive:5/3/mean,rolling:9",
		"sink:1,compressive:4/2/max,memory:12/1x3,rolling:7:turns",
	];
	for (const text of texts) {
		const whole = createCache(parsePolicy(text));
		const single = createCache(parsePolicy(text));
		for (const count of [7, 30, 1, 5, 200, 64]) {
			for (let left = count; left > 0; ) {
				if (left % 3 === 0) for (const cache of [whole, single]) cache.beginTurn();
				const plan = whole.plan(left);
				for (let i = 0; i < plan.take; i++) {
					const one = single.plan(1);
					plan.segments.forEach((view, k) => {
						const alone = one.segments[k] as typeof view;
						expect(view.queryPositions[i]).toBe(alone.queryPositions[0]);
						expect(view.visibleFrom[i]).toBe(alone.visibleFrom[0]);
						// What a chunk's own tokens are to the window, cached ones are to a token alone.
						expect(Math.min(view.visibleTo[i] as number, view.cached.end)).toBe(
							Math.min(alone.visibleTo[0] as number, view.cached.end),
						);
					});
					single.commit(one);
				}
				whole.commit(plan);
				left -= plan.take;
			}
			expect(whole.snapshot().segments.map(({ start, end }) => [start, end])).toEqual(
				single.snapshot().segments.map(({ start, end }) => [start, end]),
			);
		}
	}
});
