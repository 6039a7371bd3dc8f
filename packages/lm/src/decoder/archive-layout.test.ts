/** Which tokens an archive's entries are: S36 of SPEC.md. */
import { createCache, parsePolicy } from "@tok/kv-cache";
import fc from "fast-check";
import { expect, test } from "vitest";
import { archiveLayout, tokensInReach } from "./archive-layout.ts";

const policies = [
	"sink:4,memory:64/2x16,rolling:20",
	"memory:24/1x8,rolling:9",
	"sink:1,memory:48/2x12,rolling:16:turns",
	"sink:2,compressive:6/2/mean,memory:32/2x4,rolling:20",
	"sink:2,memory:32/2x4,compressive:8/3/mean,rolling:20",
];

test.each(policies)("S36: the tokens in reach are all that the archive of %s can hold", (text) => {
	const policy = parsePolicy(text);
	const layout = archiveLayout(policy);
	if (layout === undefined) throw new Error("no archive");
	const { segment, origin, tokensPerEntry } = layout;
	let farthest = 0;
	fc.assert(
		fc.property(fc.array(fc.integer({ min: 1, max: 40 }), { minLength: 5, maxLength: 30 }), (chunks) => {
			const cache = createCache(policy);
			for (const count of chunks) {
				if (count % 3 === 0) cache.beginTurn();
				const plan = cache.plan(count);
				cache.commit(plan);
				const { start, end } = cache.snapshot().segments[segment] as { start: number; end: number };
				if (end > start) farthest = Math.max(farthest, cache.length - (origin + start * tokensPerEntry));
			}
		}),
	);
	expect(farthest).toBeLessThanOrEqual(tokensInReach(policy));
	// No more than a group's worth is kept for nothing.
	expect(farthest).toBeGreaterThan(tokensInReach(policy) - 32);
});

test("S36: a policy without an archive has no layout, and its window in reach", () => {
	expect(archiveLayout(parsePolicy("sink:4,compressive:8/4/mean,rolling:28"))).toBeUndefined();
	expect(tokensInReach(parsePolicy("recompute:5000"))).toBe(5000);
});
