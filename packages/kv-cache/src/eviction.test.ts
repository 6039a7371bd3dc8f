/** Archives that the least recalled blocks leave: K40 to K42 of SPEC.md, against lists kept by hand. */
import fc from "fast-check";
import { expect, test } from "vitest";
import {
	createCache,
	type Exchange,
	type KvCache,
	memory,
	type Plan,
	parsePolicy,
	type Recalled,
	restoreCache,
	rolling,
	sink,
} from "./index.ts";

interface Block {
	readonly arrival: number;
	readonly tokens: readonly number[];
}

interface Rules {
	readonly sinks: number;
	readonly window: number;
	readonly blockSize: number;
	/** Blocks that are kept. */
	readonly kept: number;
	readonly turns: boolean;
	/** Blocks with which the archive begins. */
	readonly attached: number;
	readonly seed: number;
}

/** How much has fallen on a block when the stream has this length: anything, but the same whenever it is asked. */
function fell({ seed }: Rules, arrival: number, length: number): number {
	const mixed = Math.imul((arrival + 1) * 2654435761 + length * 40503 + seed, 2246822519) >>> 0;
	return mixed % 5;
}

/** The policy by hand: lists, one token at a time. */
class ByHand {
	readonly rules: Rules;
	readonly sinks: number[] = [];
	archive: Block[];
	window: number[] = [];
	turns = new Set<number>();
	length = 0;
	arrived: number;
	lost = 0;

	constructor(rules: Rules) {
		this.rules = rules;
		const { attached, blockSize } = rules;
		this.arrived = attached;
		this.archive = Array.from({ length: attached }, (_, arrival) => ({
			arrival,
			tokens: Array.from({ length: blockSize }, (_, i) => (arrival - attached) * blockSize + i),
		}));
	}

	/** What a token sees; before it, blocks leave an archive that holds too many. */
	look(): string {
		const { kept, blockSize } = this.rules;
		const excess = this.archive.length - kept;
		if (excess > 0) {
			const atOnce = Math.min(Math.floor(128 / blockSize), Math.floor(kept / 8));
			const of = ({ arrival }: Block): number => fell(this.rules, arrival, this.length);
			const settled = this.archive.slice(0, this.archive.length - Math.floor(kept / 2));
			const least = (blocks: readonly Block[]): Block[] =>
				[...blocks].sort((a, b) => of(a) - of(b) || a.arrival - b.arrival);
			const order = [...least(settled), ...least(this.archive.slice(settled.length))];
			const leaving = order.slice(0, Math.max(excess, atOnce));
			this.archive = this.archive.filter((block) => !leaving.includes(block));
			this.lost += leaving.length * blockSize;
		}
		return described(
			this.archive.map(({ arrival, tokens }) => [arrival, ...tokens].join()),
			[...this.sinks, ...this.window],
		);
	}

	step(): void {
		const { sinks, window: most, blockSize, turns } = this.rules;
		if (this.sinks.length < sinks) this.sinks.push(this.length);
		else this.window.push(this.length);
		this.length++;
		let over = this.window.length - most;
		if (over > 0 && turns) {
			const all = [...this.window, this.length];
			const next = all.findIndex((index, place) => place >= over && this.turns.has(index));
			if (next > 0) over = next;
		}
		for (; over >= blockSize; over -= blockSize)
			this.archive.push({ arrival: this.arrived++, tokens: this.window.splice(0, blockSize) });
	}

	rewind(count: number): void {
		if (count === 0) return;
		if (count > this.window.length) this.sinks.length -= count - this.window.length;
		this.window.length = Math.max(0, this.window.length - count);
		this.length -= count;
		this.turns = new Set([...this.turns].filter((index) => index < this.length));
	}
}

const described = (blocks: readonly string[], tokens: readonly number[]): string =>
	`${[...blocks].sort().join(" | ")} || ${[...tokens].sort((a, b) => a - b).join()}`;

/** A cache, its buffers, in which each slot holds the stream index of its entry, and the lists. */
class Subject {
	readonly rules: Rules;
	readonly hand: ByHand;
	cache: KvCache;
	readonly buffers: number[][];
	/** Blocks that have changed places. */
	moved = 0;

	constructor(rules: Rules) {
		this.rules = rules;
		this.hand = new ByHand(rules);
		const { attached, blockSize } = rules;
		this.cache = createCache(this.policy(), { archived: attached * blockSize });
		this.buffers = this.cache.slots().map((slots) => new Array<number>(slots).fill(Number.NaN));
		this.hand.archive.forEach(({ arrival, tokens }) => {
			tokens.forEach((index, i) => {
				(this.buffers[1] as number[])[arrival * blockSize + i] = index;
			});
		});
	}

	policy() {
		const { sinks, window, blockSize, kept, turns } = this.rules;
		const archive = memory({ capacity: kept * blockSize, blockSize, recall: 1, eviction: "least-recalled" });
		return [sink(sinks), archive, rolling(window, { turns })];
	}

	read(count: number): void {
		for (let left = count; left > 0; ) {
			this.exchange();
			expect(this.exchanges()).toEqual([]);
			// A plan that is thrown away after its transfers, and one that carries them out twice, do no harm.
			this.transfer(this.cache.plan(left + 2));
			this.check();
			const plan = this.cache.plan(left);
			this.transfer(plan);
			this.transfer(plan);
			for (let row = 0; row < plan.take; row++) {
				const [got, want] = [this.seen(plan, row), this.hand.look()];
				if (got !== want) expect(got).toBe(want);
				this.hand.step();
			}
			for (const { segment, row, slot, length } of plan.writes)
				for (let j = 0; j < length; j++) (this.buffers[segment] as number[])[slot + j] = plan.start + row + j;
			this.cache.commit(plan);
			left -= plan.take;
		}
	}

	exchanges(): readonly Exchange[] {
		return this.cache.exchanges((arrival) => fell(this.rules, arrival, this.cache.length));
	}

	/** The first ones of those that are due. */
	exchange(most = Number.POSITIVE_INFINITY): void {
		const { blockSize } = this.rules;
		for (const each of this.exchanges().slice(0, most)) {
			const buffer = this.buffers[each.segment] as number[];
			const [a, b] = [each.entries.start % buffer.length, each.others.start % buffer.length];
			const block = buffer.slice(a, a + blockSize);
			buffer.copyWithin(a, b, b + blockSize);
			buffer.splice(b, blockSize, ...block);
			this.cache.exchange(each);
			this.moved++;
		}
	}

	transfer(plan: Plan): void {
		for (const { segment, slots } of plan.segments) {
			const buffer = this.buffers[segment] as number[];
			while (buffer.length < slots) buffer.push(Number.NaN);
		}
		for (const { from, entries, to, into } of plan.transfers) {
			const [source, target] = [this.buffers[from] as number[], this.buffers[to] as number[]];
			for (let i = 0; i < entries.end - entries.start; i++)
				target[(into.start + i) % target.length] = source[(entries.start + i) % source.length] as number;
		}
	}

	seen({ start, segments, fresh }: Plan, row: number): string {
		const { blockSize } = this.rules;
		const blocks: string[] = [];
		const tokens: number[] = [];
		for (const { segment, cached, arrivals, visibleFrom, visibleTo, slots } of segments) {
			const at = (entry: number): number => this.buffers[segment]?.[entry % slots] as number;
			const [from, to] = [visibleFrom[row] as number, visibleTo[row] as number];
			if (arrivals === undefined) for (let entry = from; entry < to; entry++) tokens.push(at(entry));
			else
				for (let entry = from; entry < to; entry += blockSize) {
					const held = Array.from({ length: blockSize }, (_, i) => at(entry + i));
					blocks.push([arrivals[(entry - cached.start) / blockSize], ...held].join());
				}
		}
		for (let j = 0; j < row; j++)
			if (j < fresh.pinned || j >= (fresh.visibleFrom[row] as number)) tokens.push(start + j);
		return described(blocks, tokens);
	}

	check(): void {
		const { cache, hand, rules } = this;
		expect(cache.length).toBe(hand.length);
		// What is over leaves before the next token, so by hand it is held as yet as well.
		expect(cache.retained).toBe(
			hand.sinks.length + hand.window.length + hand.archive.length * rules.blockSize,
		);
		expect(cache.evicted).toBe(hand.lost);
		expect(cache.retained + cache.evicted).toBe(cache.length + cache.attached);
		expect(this.archived()).toEqual(hand.archive);
	}

	/** What lies where the cache says that a block lies, in the order of their arrival. */
	archived(): Block[] {
		const { blockSize } = this.rules;
		const { segments, arrivals = [] } = this.cache.snapshot();
		const { start, slots } = segments[1] as { start: number; slots: number };
		return arrivals
			.map((arrival, i) => {
				const at = (start + i * blockSize) % slots;
				return { arrival, tokens: this.buffers[1]?.slice(at, at + blockSize) ?? [] };
			})
			.sort((a, b) => a.arrival - b.arrival);
	}
}

const small = (min: number, max: number) => fc.integer({ min, max });
const rulesArbitrary: fc.Arbitrary<Rules> = fc
	.record({
		sinks: small(1, 3),
		window: small(1, 20),
		blockSize: small(1, 6),
		kept: small(1, 20),
		turns: fc.boolean(),
		attached: small(0, 20),
		seed: small(0, 1000),
	})
	.map((rules) => ({
		...rules,
		window: Math.max(rules.window, rules.blockSize),
		attached: Math.min(rules.attached, rules.kept),
	}));
const operation = fc.oneof(
	{ weight: 5, arbitrary: fc.record({ op: fc.constant("read" as const), count: small(1, 60) }) },
	{
		weight: 2,
		arbitrary: fc.record({
			op: fc.constantFrom("turn" as const, "rewind" as const, "exchange" as const),
			count: small(0, 9),
		}),
	},
	{ weight: 1, arbitrary: fc.record({ op: fc.constant("restore" as const), count: fc.constant(0) }) },
);

test("K40 K41: any sequence of operations agrees with lists kept by hand", () => {
	let moved = 0;
	fc.assert(
		fc.property(rulesArbitrary, fc.array(operation, { minLength: 15, maxLength: 40 }), (rules, sequence) => {
			const subject = new Subject(rules);
			for (const { op, count } of sequence) {
				const { cache, hand } = subject;
				if (op === "read") subject.read(count);
				else if (op === "turn") {
					cache.beginTurn();
					hand.turns.add(hand.length);
				} else if (op === "exchange") subject.exchange(count);
				else if (op === "rewind") {
					const most = Math.min(count, cache.rewindable);
					cache.rewind(most);
					hand.rewind(most);
				} else {
					const snapshot = JSON.parse(JSON.stringify(cache.snapshot()));
					subject.cache = restoreCache(subject.policy(), snapshot).fork();
				}
				subject.check();
			}
			moved += subject.moved;
		}),
		{ numRuns: 150 },
	);
	expect(moved).toBeGreaterThan(100);
});

/** Reads up to so many tokens, of which there are no tensors. */
function read(cache: KvCache, count: number, recalled: Recalled): void {
	for (const exchange of cache.exchanges(recalled)) cache.exchange(exchange);
	cache.commit(cache.plan(count));
}

test("K40: without a word on what is recalled the oldest leave first", () => {
	const cache = createCache(parsePolicy("memory:64/1x2:least-recalled,rolling:4"));
	while (cache.length < 400) cache.commit(cache.plan(50));
	const { arrivals = [] } = cache.snapshot();
	expect(arrivals).toEqual([...arrivals].sort((a, b) => a - b));
	expect((arrivals[0] as number) + arrivals.length).toBe((arrivals.at(-1) as number) + 1);
});

test("K40: the newest half stays, whatever is recalled", () => {
	const cache = createCache(parsePolicy("sink:2,memory:64/1x4:least-recalled,rolling:8"));
	while (cache.length < 1000) {
		read(cache, 1, (arrival) => -arrival);
		const { arrivals = [] } = cache.snapshot();
		const end = Math.max(0, Math.floor((cache.length - 2 - 8) / 4));
		const newest = Array.from({ length: Math.min(8, end) }, (_, i) => end - 1 - i);
		expect(arrivals).toEqual(expect.arrayContaining(newest));
	}
	// The others are those that came first.
	expect(cache.snapshot().arrivals).toEqual(expect.arrayContaining([0, 1, 2, 3, 4, 5, 6]));
});

test("K41: a block that is recalled stays for ever, in one place after another", () => {
	const cache = createCache(parsePolicy("sink:2,memory:64/1x4:least-recalled,rolling:8"));
	while (cache.length < 4000) read(cache, 90, (arrival) => (arrival === 3 ? 1 : 0));
	const { arrivals = [] } = cache.snapshot();
	expect(arrivals).toContain(3);
	expect(Math.min(...arrivals.filter((arrival) => arrival !== 3))).toBeGreaterThan(900);
});

test("K41: chunks are as long as what leaves at once", () => {
	const cache = createCache(parsePolicy("sink:4,memory:1024/8x16:least-recalled,rolling:252"));
	while (cache.length < 3000) cache.commit(cache.plan(128));
	const takes = Array.from({ length: 8 }, () => {
		const plan = cache.plan(128);
		cache.commit(plan);
		return plan.take;
	});
	expect(Math.max(...takes)).toBe(128);
	expect(takes.reduce((sum, take) => sum + take)).toBeGreaterThan(8 * 60);
});

test("K42: what cannot be is refused", () => {
	expect(() => memory({ capacity: 640, eviction: "newest" as "oldest" })).toThrow(
		'[tok/kv-cache] memory eviction: expected "oldest" or "least-recalled", got "newest".',
	);
	expect(() => parsePolicy("compressive:8/2/mean,memory:64/2x8:least-recalled,rolling:16")).toThrow(
		"[tok/kv-cache] policy: expected nothing to take what leaves memory:64/2x8:least-recalled, which is from here " +
			"and there in the stream, got compressive:8/2/mean. Let the oldest leave first, or nothing take it.",
	);
	const cache = createCache(parsePolicy("memory:8/1x4:least-recalled,rolling:4"));
	while (cache.length < 16) cache.commit(cache.plan(1));
	expect(() => cache.exchanges(() => Number.NaN)).toThrow(
		"[tok/kv-cache] recalled: expected a number for block 0, got NaN.",
	);
	const block = (start: number) => ({ start, end: start + 4 });
	for (const [segment, other] of [
		[1, 4],
		[0, 12],
		[0, 2],
	] as const)
		expect(() => cache.exchange({ segment, entries: block(0), others: block(other) })).toThrow(
			`[tok/kv-cache] exchange: expected what exchanges() gave, got entries 0 and ${other} of segment ${segment}.`,
		);
	expect(cache.exchanges((arrival) => (arrival === 1 ? 0 : 1))).toEqual([
		{ segment: 0, entries: block(0), others: block(4) },
	]);
});

test("K19 K40: a snapshot whose blocks cannot lie where it says is refused", () => {
	const policy = parsePolicy("memory:32/1x4:least-recalled,rolling:4");
	const cache = createCache(policy);
	while (cache.length < 60) read(cache, 20, (arrival) => -arrival);
	const snapshot = cache.snapshot();
	expect(restoreCache(policy, snapshot).snapshot()).toEqual(snapshot);
	const { arrivals = [] } = snapshot;
	const bad = [
		undefined,
		[],
		arrivals.slice(1),
		[...arrivals.slice(1), 1e9],
		arrivals.map(() => 0),
		"all",
		null,
	];
	for (const other of bad)
		expect(() => restoreCache(policy, { ...snapshot, arrivals: other as number[] })).toThrow(
			/^\[tok\/kv-cache] snapshot: expected the numbers on arrival of \d+ blocks/,
		);
	const oldest = parsePolicy("memory:32/1x4,rolling:4");
	const plain = createCache(oldest);
	while (plain.length < 60) plain.commit(plain.plan(20));
	expect(() => restoreCache(oldest, { ...plain.snapshot(), arrivals })).toThrow("of 0 blocks");
});
