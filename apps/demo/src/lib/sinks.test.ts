import { parsePolicy } from "@tok/kv-cache";
import { expect, test } from "vitest";
import { LatePerplexity, sinkCounts, sinkPolicy, windowSize } from "./sinks.ts";

test("every cache has the same number of entries", () => {
	for (const sinks of sinkCounts) {
		const policy = parsePolicy(sinkPolicy(sinks));
		expect(policy.reduce((sum, { slots }) => sum + slots, 0)).toBe(windowSize);
		expect(policy).toHaveLength(sinks === 0 ? 1 : 2);
	}
});

test("perplexity is that of the tokens from the first one on that counts, whatever the steps", () => {
	const mean = new LatePerplexity(3);
	mean.take({ nats: [undefined, 9], length: 2 });
	expect(mean.value).toBeUndefined();
	mean.take({ nats: [9, 1, 2], length: 5 });
	mean.take({ nats: [3], length: 6 });
	expect(mean.value).toBeCloseTo(Math.exp(2), 12);
});
