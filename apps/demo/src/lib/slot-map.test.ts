/** Which slot holds what. */
import { createCache, parsePolicy } from "@tok/kv-cache";
import { describe, expect, test } from "vitest";
import { advance, slotMap, slotState } from "./slot-map.ts";

describe("a map of slots", () => {
	const kinds = (policy: string, tokens: number) => {
		const cache = createCache(parsePolicy(policy));
		return slotMap(cache, advance(cache, tokens));
	};

	test("sinks stay, the window wraps, what comes next is told", () => {
		const cache = createCache(parsePolicy("sink:2,rolling:4"));
		advance(cache, 7);
		const [sinks, ring] = slotMap(cache, advance(cache, 1));
		expect([...(sinks?.cells ?? [])]).toEqual([slotState.sink, slotState.sink]);
		const { kept, fresh, leaving } = slotState;
		expect([...(ring?.cells ?? [])].sort()).toEqual([kept, kept, fresh, leaving].sort());
	});

	test("a long archive has cells for several slots", () => {
		const segments = kinds("sink:4,memory:65536/8x16,rolling:252", 2000);
		const memory = segments.find(({ kind }) => kind === "memory");
		expect(memory?.cells.length).toBeLessThanOrEqual(1024);
		expect(memory?.group).toBeGreaterThanOrEqual(16);
		expect(memory?.cells).toContain(slotState.archived);
	});

	test("what is read again for every token is always fresh", () => {
		const [only] = kinds("recompute:8", 3);
		expect([...(only?.cells ?? [])].filter((state) => state === slotState.fresh)).toHaveLength(3);
	});
});
