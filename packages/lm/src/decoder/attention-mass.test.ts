/** The attention on a window, against sums over all tokens: S45 of SPEC.md. The weights here are numbers, no model's. */
import {
	createCache,
	type KvCache,
	type Plan,
	parsePolicy,
	type Range,
	type SegmentView,
	type Write,
} from "@tok/kv-cache";
import { describe, expect, test } from "vitest";
import { AttentionMass, type FallenAttention, tokensCounted } from "./attention-mass.ts";

const HEADS = 3;
const SINKS = 2;
const policy = parsePolicy(`sink:${SINKS},compressive:4/3/most-used,rolling:9`);
/** Buffers may have more slots than a plan. */
const PADDING = 5;

/** What a query head of token t gives token e: no two alike. A token is its id at an index. */
const weight = (head: number, t: number, e: number): number =>
	1 + Math.sin(1 + head + 7.3 * t + 3.1 * e * (head + 1));

/** The sums of a run whose tokens are those of `plan`, the first `known` left out, or each apart. */
function fall(
	{ segments, fresh, start, take }: Plan,
	ids: readonly number[],
	known: number,
	apart: boolean,
): FallenAttention {
	const view = segments.at(-1) as SegmentView;
	const rows = apart ? take : 1;
	const columns = view.slots + PADDING;
	const cached = new Float32Array(HEADS * rows * columns);
	const own = new Float32Array(HEADS * rows * take);
	const at = (index: number): number => index + 1000 * (ids[index] as number);
	for (let head = 0; head < HEADS; head++)
		for (let i = 0; i < take; i++) {
			if (!apart && i < known) continue;
			const row = apart ? i : 0;
			const add = (data: Float32Array, width: number, column: number, e: number): void => {
				const place = (head * rows + row) * width + column;
				data[place] = (data[place] as number) + weight(head, at(start + i), at(e));
			};
			for (let e = view.visibleFrom[i] as number; e < view.cached.end; e++)
				add(cached, columns, e % view.slots, SINKS + e);
			for (let j = 0; j <= i; j++)
				if (j < fresh.pinned || j >= (fresh.visibleFrom[i] as number)) add(own, take, j, start + j);
		}
	return { cached, fresh: own };
}

class Stream {
	readonly cache: KvCache = createCache(policy);
	readonly mass = new AttentionMass(HEADS);
	readonly ids: number[] = [];

	read(ids: readonly number[], chunk: number): void {
		for (let from = 0; from < ids.length; ) {
			const plan = this.#plan(Math.min(chunk, ids.length - from));
			const read = ids.slice(from, from + plan.take);
			const known = this.mass.known(read);
			this.ids.push(...read);
			const { writes } = plan;
			this.mass.count(read, {
				fallen: fall(plan, this.ids, known, false),
				plan,
				row: 0,
				rows: 1,
				earlier: [],
				writes,
			});
			this.cache.commit(plan);
			from += plan.take;
		}
	}

	/** Of the ids the first `keep` turn out to be right. */
	guess(ids: readonly number[], keep: number): void {
		const whole = this.#plan(ids.length);
		const fallen = fall(whole, [...this.ids, ...ids], 0, true);
		const earlier: Write[] = [];
		for (let row = 0; row < Math.min(keep, whole.take); row++) {
			const plan = this.cache.plan(1);
			const writes = plan.writes.map((write) => ({ ...write, row }));
			const id = ids[row] as number;
			this.mass.count([id], { fallen, plan, row, rows: whole.take, earlier, writes });
			this.cache.commit(plan);
			earlier.push(...writes);
			this.ids.push(id);
		}
	}

	rewind(count: number): void {
		this.cache.rewind(count);
		this.mass.forget(this.ids.splice(-count));
	}

	/** That of every entry of the window, head by head. */
	held(): number[][] {
		const { start, end } = this.#window();
		return Array.from({ length: HEADS }, (_, head) => [...this.mass.of(head, start, end - start)]);
	}

	/** What it has to be when no token was ever forgotten. */
	expected(): number[][] {
		const { start, end } = this.#window();
		const at = (index: number): number => index + 1000 * (this.ids[index] as number);
		return Array.from({ length: HEADS }, (_, head) =>
			Array.from({ length: end - start }, (_, i) => {
				const e = SINKS + start + i;
				return this.ids.slice(e).reduce((sum, _, after) => sum + weight(head, at(e + after), at(e)), 0);
			}),
		);
	}

	/** The entries that the window holds when the next token comes. */
	#window(): Range {
		return (this.cache.plan(1).segments.at(-1) as SegmentView).cached;
	}

	#plan(count: number): Plan {
		const plan = this.cache.plan(count);
		return this.cache.plan(tokensCounted(plan.segments.at(-2) as SegmentView));
	}
}

const stream = Array.from({ length: 60 }, (_, i) => (5 * i * i) % 23);

function expectClose(got: readonly number[][], want: readonly number[][]): void {
	got.forEach((head, i) => {
		expect(head).toHaveLength(want[i]?.length ?? -1);
		head.forEach((value, j) => {
			expect(value).toBeCloseTo(want[i]?.[j] as number, 4);
		});
	});
}

describe("S45: what fell on each entry of the window is the sum over all tokens since", () => {
	test.each([1, 2, 3, 5, 60])("in chunks of %i", (chunk) => {
		const read = new Stream();
		for (let from = 0; from < stream.length; from += 7) {
			read.read(stream.slice(from, from + 7), chunk);
			expectClose(read.held(), read.expected());
		}
	});

	test.each([1, 2, 4])("with guesses of which %i are right", (keep) => {
		const read = new Stream();
		while (read.ids.length < stream.length - 4) {
			read.guess(stream.slice(read.ids.length, read.ids.length + 4), keep);
			expectClose(read.held(), read.expected());
		}
	});
});

describe("S45: rewound", () => {
	test.each([1, 4, 9])("by %i and read again, in whatever chunks, it is where it was", (count) => {
		for (const chunk of [1, 3, 9]) {
			const read = new Stream();
			read.read(stream, 3);
			const before = read.held();
			read.rewind(count);
			read.read(stream.slice(-count), chunk);
			expect(read.held()).toEqual(before);
			read.rewind(1);
			read.guess(stream.slice(-1), 1);
			expect(read.held()).toEqual(before);
			read.read(stream.slice(0, 5), chunk);
			const other = new Stream();
			other.read([...stream, ...stream.slice(0, 5)], 3);
			expectClose(read.held(), other.held());
		}
	});

	test("and told otherwise, new tokens are counted anew, and what the old ones saw stays", () => {
		const read = new Stream();
		read.read(stream, 3);
		const before = read.held();
		read.rewind(4);
		read.read([stream.at(-4) as number, 99, 98], 3);
		const got = read.held();
		const want = read.expected();
		for (let head = 0; head < HEADS; head++) {
			// The window was 9 or more: all but the last four are older than what was forgotten.
			const old = (before[head]?.length as number) - 4;
			for (let i = 0; i <= old; i++) expect(got[head]?.[i]).toBeGreaterThan(before[head]?.[i] as number);
			for (const i of [1, 2]) expect(got[head]?.[old + i]).toBeCloseTo(want[head]?.[old + i] as number, 4);
		}
	});

	test("a snapshot goes on alike, forgotten tokens included", () => {
		const read = new Stream();
		read.read(stream, 3);
		read.rewind(3);
		const { mass, forgotten } = read.mass.snapshot();
		expect(forgotten).toEqual(stream.slice(-3));
		const restored = new AttentionMass(HEADS);
		restored.restore({ mass, forgotten }, 256);
		const { start } = read.cache.snapshot().segments.at(-1) as Range;
		for (let head = 0; head < HEADS; head++)
			expect(restored.of(head, start, 6)).toEqual(read.mass.of(head, start, 6));
		expect(restored.known(stream.slice(-3))).toBe(3);
	});
});

test.each([
	["not whole", new Float64Array(4), 256],
	["too large", new Float64Array(3 * 12), 11],
	["no number", new Float64Array(3).fill(Number.NaN), 256],
	["below zero", new Float64Array(3).fill(-1), 256],
])("S24: sums that are none of such a window are an error: %s", (_, mass, most) => {
	expect(() => new AttentionMass(HEADS).restore({ mass, forgotten: [] }, most)).toThrow(
		`[tok/lm] snapshot: expected the attention of 3 heads on at most ${most} slots, got ${mass.length} numbers.`,
	);
});

test("S45: a chunk ends before a token, other than its first, that sends on a group", () => {
	const cache = createCache(policy);
	let groups = 0;
	while (cache.length < 60) {
		const whole = cache.plan(8);
		const count = tokensCounted(whole.segments.at(-2) as SegmentView);
		const plan = cache.plan(count);
		const receiver = plan.segments.at(-2) as SegmentView;
		const ends = [...receiver.visibleTo, receiver.cached.end];
		// From its second token on nothing is sent; one more token would have sent something, if there was one.
		expect(new Set(ends.slice(1)).size).toBe(1);
		if (count < whole.take)
			expect(cache.plan(count + 1).transfers.length).toBeGreaterThan(plan.transfers.length);
		groups += plan.transfers.length;
		cache.commit(plan);
	}
	expect(groups).toBeGreaterThan(10);
});
