import { describe, expect, test } from "vitest";
import {
	createCache,
	freshMask,
	MASKED,
	type Plan,
	type Policy,
	parsePolicy,
	recompute,
	rolling,
	segmentMask,
	sink,
} from "./index.ts";

function planAfter(policy: Policy, tokens: number, count: number): Plan {
	const cache = createCache(policy);
	while (cache.length < tokens) cache.commit(cache.plan(tokens - cache.length));
	return cache.plan(count);
}

/** Rows as text: "#" where a key is visible. */
function rows(mask: Float32Array, read: number): string[] {
	const width = mask.length / read;
	return Array.from({ length: read }, (_, i) =>
		[...mask.subarray(i * width, (i + 1) * width)].map((v) => (v === 0 ? "#" : ".")).join(""),
	);
}

function ofSegment(plan: Plan, segment: number, window?: number): string[] {
	const view = plan.segments[segment] as Plan["segments"][number];
	const out = new Float32Array(plan.read * view.slots).fill(7);
	segmentMask(view, out, window === undefined ? undefined : { window });
	return rows(out, plan.read);
}

function ofFresh(plan: Plan, window?: number): string[] {
	const out = new Float32Array(plan.read ** 2).fill(7);
	freshMask(plan, out, window === undefined ? undefined : { window });
	return rows(out, plan.read);
}

describe("masks", () => {
	test("K24: 0 where visible, −1e30 elsewhere, whose exponential is 0", () => {
		const plan = planAfter([sink(1), rolling(3)], 2, 1);
		const out = new Float32Array(3);
		segmentMask(plan.segments[1] as Plan["segments"][number], out);
		expect(out).toEqual(Float32Array.of(0, MASKED, MASKED));
		expect(MASKED).toBe(-1e30);
		expect(Math.exp(Math.fround(MASKED + 1e4))).toBe(0);
	});

	test("K24: a row may be longer than the view; what is beyond is masked", () => {
		const plan = planAfter([rolling(3)], 3, 2);
		const view = plan.segments[0] as Plan["segments"][number];
		const out = new Float32Array(2 * 5).fill(7);
		segmentMask(view, out, { slots: 5 });
		expect(rows(out, 2)).toEqual(["###..", ".##.."]);
		expect(() => segmentMask(view, out, { slots: 2 })).toThrow(/slots: expected an integer from 3/);
	});

	test("K4 K24: a row may be shorter than the view when it holds what is cached", () => {
		// Three entries in 128 slots; the chunk's own rows are written once these have become 256.
		const view = planAfter([rolling(300)], 3, 126).segments[0] as Plan["segments"][number];
		expect(view.slots).toBe(256);
		for (const slots of [3, 128]) {
			const out = new Float32Array(126 * slots).fill(7);
			segmentMask(view, out, { slots });
			expect(new Set(rows(out, 126))).toEqual(new Set(["###".padEnd(slots, ".")]));
		}
		expect(() => segmentMask(view, new Float32Array(252), { slots: 2 })).toThrow(
			"slots: expected an integer from 3",
		);
	});

	test("K24: the ring's oldest slots go out of sight row by row", () => {
		const plan = planAfter([sink(1), rolling(4)], 7, 6);
		expect(ofSegment(plan, 0)).toEqual(new Array(6).fill("#"));
		expect(ofSegment(plan, 1)).toEqual(["####", "##.#", "##..", ".#..", "....", "...."]);
		expect(ofFresh(plan)).toEqual(["#.....", "##....", "###...", "####..", "#####.", ".#####"]);
	});

	test("K24: fresh sink tokens stay in sight, in original positions beyond the window too", () => {
		const cache = createCache([sink(2), rolling(2)], { positions: "original" });
		expect(ofFresh(cache.plan(6))).toEqual(["#.....", "##....", "###...", "####..", "#####.", "##.###"]);
	});

	test("K25: a layer's window counts distances in each segment's frame", () => {
		const policy = [sink(2), rolling(4)];
		const plan = planAfter(policy, 100, 2);
		// In the cache: sinks at distances 6 and 5, the window at 4 3 2 1.
		expect(ofSegment(plan, 0, 6)).toEqual([".#", ".#"]);
		expect(ofSegment(plan, 0, 7)).toEqual(["##", "##"]);
		// Stream indices 98 99 96 97 lie in the slots; queries 100 and 101.
		expect(ofSegment(plan, 1)).toEqual(["####", "##.#"]);
		expect(ofSegment(plan, 1, 4)).toEqual(["##.#", "##.."]);
		expect(ofSegment(plan, 1, 1)).toEqual(["....", "...."]);
		const original = createCache(policy, { positions: "original" });
		original.commit(original.plan(100));
		expect(ofSegment(original.plan(1), 0, 100)).toEqual([".#"]);
	});

	test("K25: a layer's window among fresh tokens, pinned ones included", () => {
		const plan = planAfter([sink(2), rolling(9)], 0, 5);
		expect(ofFresh(plan, 3)).toEqual(["#....", "##...", "###..", ".###.", "..###"]);
		expect(ofFresh(plan, 1)).toEqual(["#....", ".#...", "..#..", "...#.", "....#"]);
	});

	test("K21: a reading of recompute is causal", () => {
		expect(ofFresh(planAfter([recompute(2)], 9, 1))).toEqual(["#..", "##.", "###"]);
	});

	test("K27: a buffer of the wrong length is an error", () => {
		const plan = planAfter([rolling(4)], 7, 2);
		const view = plan.segments[0] as Plan["segments"][number];
		expect(() => segmentMask(view, new Float32Array(9))).toThrow(
			"segmentMask: expected room for [2, 4] = 8 values, got 9",
		);
		expect(() => freshMask(plan, new Float32Array(3))).toThrow(
			"freshMask: expected room for [2, 2] = 4 values, got 3",
		);
	});

	test.each([0, -1, 1.5, Number.NaN])("K27: a window of %s is an error", (window) => {
		const plan = planAfter([rolling(4)], 7, 1);
		expect(() => freshMask(plan, new Float32Array(1), { window })).toThrow(
			"window: expected an integer from 1",
		);
	});

	test("K38: a column may stand for a block of slots", () => {
		const plan = planAfter(parsePolicy("sink:1,memory:12/1x3,rolling:4"), 14, 2);
		const view = plan.segments[1] as Plan["segments"][number];
		expect([...view.visibleTo]).toEqual([9, 9]);
		const slots = view.slots + 3;
		const blocks = new Float32Array((2 * slots) / 3).fill(7);
		segmentMask(view, blocks, { block: 3, slots });
		const entries = new Float32Array(2 * slots).fill(7);
		segmentMask(view, entries, { slots });
		expect([...blocks].flatMap((value) => [value, value, value])).toEqual([...entries]);
		expect(blocks.indexOf(Math.fround(MASKED))).toBe(3);
		expect(() => segmentMask(view, blocks, { block: 4 })).toThrow("block: expected a divisor of");
	});
});
