import { describe, expect, test } from "vitest";
import {
	type CacheSnapshot,
	createCache,
	dense,
	type KvCache,
	type Plan,
	type Policy,
	parsePolicy,
	recompute,
	restoreCache,
	rolling,
	sink,
} from "./index.ts";

type SegmentCounters = CacheSnapshot["segments"][number];

/** Reads tokens, in chunks of at most `chunk`. */
function read(cache: KvCache, tokens: number, chunk = 1): Plan[] {
	const plans: Plan[] = [];
	for (let left = tokens; left > 0; left -= plans.at(-1)?.take ?? 0) {
		const plan = cache.plan(Math.min(left, chunk));
		cache.commit(plan);
		plans.push(plan);
	}
	return plans;
}

const created = (policy: Policy, tokens: number): KvCache => {
	const cache = createCache(policy);
	read(cache, tokens);
	return cache;
};

describe("positions", () => {
	test("K3 K7: the paper's example, tokens 0 1 2 3 6 7 8 kept and 9 read, is numbered 0 … 7", () => {
		const plan = created([sink(4), rolling(3)], 9).plan(1);
		const [sinks, window] = plan.segments;
		expect(sinks?.cached).toEqual({ start: 0, end: 4 });
		expect(window?.cached).toEqual({ start: 2, end: 5 });
		// Keys 0 … 3 from position 7; keys 6, 7, 8 from position 9: distances 7 6 5 4 and 3 2 1.
		expect([sinks?.origin, sinks?.queryPositions[0]]).toEqual([0, 7]);
		expect([window?.origin, window?.queryPositions[0]]).toEqual([4, 9]);
		expect(plan.fresh.positions).toEqual(Float64Array.of(9));
	});

	test("K8: in original positions the same query stands at 9 for both", () => {
		const cache = createCache([sink(4), rolling(3)], { positions: "original" });
		read(cache, 9);
		expect(cache.plan(1).segments.map(({ queryPositions }) => queryPositions[0])).toEqual([9, 9]);
	});

	test("K7: the sinks' query position stops growing at a + b", () => {
		const cache = createCache([sink(2), rolling(3)]);
		const positions = read(cache, 9).map(({ segments }) => segments[0]?.queryPositions[0]);
		expect(positions).toEqual([0, 1, 2, 3, 4, 5, 5, 5, 5]);
	});

	test("K6: a second sink's entries are rotated where they stood in the stream", () => {
		const [first, second, window] = created([sink(2), sink(3), rolling(2)], 20).plan(1).segments;
		expect([first?.origin, second?.origin, window?.origin]).toEqual([0, 2, 5]);
		expect([first?.queryPositions[0], second?.queryPositions[0]]).toEqual([7, 7]);
	});
});

describe("chunks", () => {
	test("K11: the first chunk may have a + b + 1 tokens, later ones any number", () => {
		const cache = createCache([sink(4), rolling(8)]);
		const takes = read(cache, 200, 100).map(({ take }) => take);
		expect(takes).toEqual([13, 100, 87]);
	});

	test("K11: nothing is cut without sinks, in original positions, and under dense", () => {
		expect(createCache([rolling(8)]).plan(500).take).toBe(500);
		expect(createCache([sink(4), rolling(8)], { positions: "original" }).plan(500).take).toBe(500);
		expect(createCache([sink(4), dense()]).plan(500).take).toBe(500);
	});

	test("K5 K11: a pinned prompt is read in one chunk and never dropped", () => {
		const cache = createCache([sink(100), rolling(8)]);
		expect(cache.plan(100).take).toBe(100);
		read(cache, 1000, 50);
		expect(cache.plan(1).segments[0]?.cached).toEqual({ start: 0, end: 100 });
	});

	test("K12: a chunk that crosses the ring's end is written in two runs", () => {
		const cache = created([rolling(8)], 5);
		expect(cache.plan(6).writes).toEqual([
			{ segment: 0, row: 0, slot: 5, length: 3 },
			{ segment: 0, row: 3, slot: 0, length: 3 },
		]);
	});

	test("K12: of a chunk longer than the window only the last rows are written", () => {
		expect(createCache([rolling(4)]).plan(10).writes).toEqual([
			{ segment: 0, row: 6, slot: 2, length: 2 },
			{ segment: 0, row: 8, slot: 0, length: 2 },
		]);
	});

	test("K12: sinks get the first rows, the window the others", () => {
		const plan = created([sink(4), rolling(8)], 3).plan(5);
		expect(plan.fresh.pinned).toBe(1);
		expect(plan.writes).toEqual([
			{ segment: 0, row: 0, slot: 3, length: 1 },
			{ segment: 1, row: 1, slot: 0, length: 4 },
		]);
	});

	test("K10: within a chunk the window moves on from row to row", () => {
		const plan = created([rolling(3)], 3).plan(5);
		expect(plan.segments[0]?.visibleFrom).toEqual(Float64Array.of(0, 1, 2, 3, 4));
		expect(plan.fresh.visibleFrom).toEqual(Float64Array.of(0, 0, 0, 0, 1));
	});

	test("K4: dense gains slots before they are exceeded, and never shrinks them", () => {
		const cache = createCache([dense()]);
		expect(cache.slots()).toEqual([128]);
		expect(cache.plan(128).segments[0]?.slots).toBe(128);
		const plan = cache.plan(129);
		expect(plan.segments[0]?.slots).toBe(256);
		expect(cache.slots()).toEqual([128]);
		cache.commit(plan);
		expect(cache.slots()).toEqual([256]);
		cache.rewind(129);
		expect(cache.slots()).toEqual([256]);
		expect(cache.plan(1).segments[0]?.slots).toBe(256);
	});

	test("K4: slots grow by 128, or by an eighth of a power of two, in whole groups", () => {
		const slots = (policy: string): Set<number | undefined> => {
			const cache = createCache(parsePolicy(policy));
			const seen = new Set<number | undefined>();
			for (let tokens = 0; tokens < 5000; tokens += 64) {
				cache.commit(cache.plan(64));
				seen.add(cache.slots()[0]);
			}
			return seen;
		};
		expect([...slots("dense")]).toEqual([
			...[128, 256, 384, 512, 640, 768, 896, 1024, 1152, 1280, 1408, 1536, 1664, 1792, 1920],
			...[2048, 2304, 2560, 2816, 3072, 3328, 3584, 3840, 4096, 4608, 5120],
		]);
		expect([...slots("compressive:100000/4/mean,rolling:64")]).toEqual([
			128, 256, 384, 512, 640, 768, 896, 1024, 1152, 1280,
		]);
		expect([...slots("memory:100005/2x15,rolling:64")].slice(0, 5)).toEqual([135, 270, 405, 540, 675]);
	});

	test("K4: a window's slots grow up to what it keeps", () => {
		const cache = createCache([sink(4), rolling(700)]);
		const slots = [128, 128, 4, 252, 1, 187, 1000].map((count) => {
			cache.commit(cache.plan(count));
			return cache.slots();
		});
		expect(slots).toEqual([
			[4, 128],
			[4, 256],
			[4, 256],
			[4, 512],
			[4, 512],
			[4, 700],
			[4, 700],
		]);
		expect(createCache([rolling(100)]).slots()).toEqual([100]);
	});

	test("K28: after 10¹² tokens a plan is what it was after twelve", () => {
		const early = created([sink(4), rolling(8)], 12);
		const shift = 1e12;
		const snapshot = early.snapshot();
		const [sinks, window] = snapshot.segments as [SegmentCounters, SegmentCounters];
		const late = restoreCache(early.policy, {
			...snapshot,
			length: snapshot.length + shift,
			segments: [sinks, { ...window, start: window.start + shift, end: window.end + shift }],
		});
		const [before, after] = [early.plan(1), late.plan(1)];
		expect(after.writes).toEqual(before.writes);
		expect(after.segments[0]).toEqual(before.segments[0]);
		expect(after.fresh.positions[0]).toBe(12 + shift);
		expect(after.segments[1]?.queryPositions[0]).toBe(12 + shift);
		expect(after.segments[1]?.visibleFrom[0]).toBe(shift);
	});

	test.each([0, -1, 1.5, Number.NaN, 2 ** 30])("K27: plan(%s) is an error", (count) => {
		expect(() => createCache([dense()]).plan(count)).toThrow(
			"[tok/kv-cache] plan: expected an integer from 1 to",
		);
	});
});

describe("commit", () => {
	const policy = [sink(1), rolling(4, { turns: true })];
	const changes: [string, (cache: KvCache, plan: Plan) => void][] = [
		["committed already", (cache, plan) => cache.commit(plan)],
		["made before another commit", (cache) => cache.commit(cache.plan(1))],
		["made before a rewind", (cache) => cache.rewind(1)],
		["made before a turn began", (cache) => cache.beginTurn()],
	];
	test.each(changes)("K13: a plan %s is an error", (_, change) => {
		const cache = created(policy, 3);
		const plan = cache.plan(2);
		change(cache, plan);
		const { length } = cache;
		expect(() => cache.commit(plan)).toThrow("commit: expected a plan that this cache made as it stands");
		expect(cache.length).toBe(length);
	});

	test("K13: another cache's plan and what is no plan are errors", () => {
		const cache = created(policy, 3);
		expect(() => cache.commit(cache.fork().plan(1))).toThrow("a plan that it did not make");
		expect(() => cache.commit({ ...cache.plan(1) })).toThrow("a plan that it did not make");
		expect(() => cache.commit(undefined as unknown as Plan)).toThrow("a plan that it did not make");
	});

	test("K13: of several plans any one may be committed, and none of them changed anything", () => {
		const cache = created(policy, 3);
		const plans = [cache.plan(4), cache.plan(1), cache.plan(4)];
		expect(plans[2]).toEqual(plans[0]);
		expect(cache.length).toBe(3);
		cache.commit(plans[1] as Plan);
		expect(cache.length).toBe(4);
	});

	test("K13: what changes nothing leaves plans valid", () => {
		const cache = created([rolling(4)], 3);
		const plan = cache.plan(1);
		cache.beginTurn();
		cache.rewind(0);
		cache.commit(plan);
		expect(cache.length).toBe(4);
	});
});

describe("turns", () => {
	const window = (cache: KvCache) => {
		const { cached, origin } = cache.plan(1).segments.at(-1) as Plan["segments"][number];
		return Array.from({ length: cached.end - cached.start }, (_, i) => origin + cached.start + i);
	};
	const chat = (policy: Policy, turns: readonly number[]) => {
		const cache = createCache(policy);
		for (const length of turns) {
			cache.beginTurn();
			read(cache, length, 3);
		}
		return cache;
	};

	test("K14: overflow drops the oldest whole turn", () => {
		const cache = chat([sink(2), rolling(8, { turns: true })], [5, 3, 2]);
		expect(window(cache)).toEqual([2, 3, 4, 5, 6, 7, 8, 9]);
		read(cache, 1);
		expect(window(cache)).toEqual([5, 6, 7, 8, 9, 10]);
		expect(cache.evicted).toBe(3);
	});

	test("K14: a turn that fills the window slides token by token until the next begins", () => {
		const cache = chat([rolling(4, { turns: true })], [2, 7]);
		expect(window(cache)).toEqual([5, 6, 7, 8]);
		cache.beginTurn();
		read(cache, 1);
		expect(window(cache)).toEqual([9]);
	});

	test("K15: marks are bounded by the window, however many turns there are", () => {
		const cache = chat([sink(1), rolling(4, { turns: true })], new Array(100).fill(1));
		cache.beginTurn();
		cache.beginTurn();
		expect(cache.snapshot().turns).toEqual([96, 97, 98, 99]);
	});

	test("K15: a mark goes when its token is rewound", () => {
		const cache = chat([rolling(6, { turns: true })], [3, 2]);
		cache.rewind(2);
		expect(cache.snapshot().turns).toEqual([]);
		read(cache, 4);
		expect(window(cache)).toEqual([1, 2, 3, 4, 5, 6]);
	});
});

describe("rewind and fork", () => {
	test("K16: before anything is dropped all may be forgotten, sinks too", () => {
		const cache = created([sink(2), rolling(4)], 6);
		expect(cache.rewindable).toBe(6);
		cache.rewind(5);
		expect([cache.length, cache.retained]).toEqual([1, 1]);
		expect(cache.plan(2).writes).toEqual([
			{ segment: 0, row: 0, slot: 1, length: 1 },
			{ segment: 1, row: 1, slot: 0, length: 1 },
		]);
	});

	test("K16 K17: afterwards only the window, which then fills up again before it drops more", () => {
		const cache = created([sink(2), rolling(4)], 7);
		expect(cache.rewindable).toBe(4);
		expect(() => cache.rewind(5)).toThrow("[tok/kv-cache] rewind: expected an integer from 0 to 4, got 5.");
		cache.rewind(3);
		expect([cache.length, cache.retained, cache.evicted]).toEqual([4, 3, 1]);
		read(cache, 3);
		expect([cache.retained, cache.evicted]).toEqual([6, 1]);
		read(cache, 1);
		expect([cache.retained, cache.evicted]).toEqual([6, 2]);
	});

	test.each([-1, 0.5, Number.NaN])("K27: rewind(%s) is an error", (count) => {
		expect(() => created([dense()], 3).rewind(count)).toThrow("rewind: expected an integer from 0 to 3");
	});

	test("K18: a fork goes its own way", () => {
		const cache = created([sink(2), rolling(4)], 5);
		const fork = cache.fork();
		read(fork, 3);
		cache.rewind(1);
		expect([cache.length, fork.length]).toEqual([4, 8]);
		expect(fork.policy).toBe(cache.policy);
	});
});

describe("recompute", () => {
	const ranges = (plans: readonly Plan[]) =>
		plans.map(({ start, take, read }) => [start + take - read, start, start + take]);

	test("K21 K22: n + 1 tokens at first, then one at a time with the n before it", () => {
		const cache = createCache([recompute(4)]);
		expect(ranges(read(cache, 8, 100))).toEqual([
			[0, 0, 5],
			[1, 5, 6],
			[2, 6, 7],
			[3, 7, 8],
		]);
		expect([cache.retained, cache.evicted, cache.slots()]).toEqual([4, 4, []]);
	});

	test("K21: no views, no writes; positions per reading, or the stream's", () => {
		for (const [positions, first] of [
			["in-cache", 0],
			["original", 3],
		] as const) {
			const cache = createCache([recompute(2)], { positions });
			read(cache, 5);
			const plan = cache.plan(1);
			expect([plan.segments, plan.writes, plan.read]).toEqual([[], [], 3]);
			expect(plan.fresh.positions).toEqual(Float64Array.of(first, first + 1, first + 2));
		}
	});

	test("K23: with only the last token scored all are taken at once", () => {
		const cache = createCache([recompute(4)]);
		expect(ranges([cache.plan(3, { scored: "last" })])).toEqual([[0, 0, 3]]);
		const plan = cache.plan(100, { scored: "last" });
		expect(ranges([plan])).toEqual([[95, 0, 100]]);
		cache.commit(plan);
		expect([cache.length, cache.retained]).toEqual([100, 4]);
	});

	test("K23: other policies take no note of it", () => {
		const cache = createCache([sink(2), rolling(4)]);
		expect(cache.plan(100, { scored: "last" })).toEqual(cache.plan(100));
	});

	test("K16 K17: what the caller no longer holds is not read again after a rewind", () => {
		const cache = created([recompute(4)], 10);
		expect(cache.rewindable).toBe(4);
		cache.rewind(3);
		expect(ranges(read(cache, 5, 100))).toEqual([
			[6, 7, 11],
			[7, 11, 12],
		]);
	});
});
