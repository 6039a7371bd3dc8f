/** Where a window begins. */
import { parsePolicy } from "@tok/kv-cache";
import { describe, expect, test } from "vitest";
import { pinnedTokens, windowStart } from "./window-start.ts";

describe("where the window begins", () => {
	const policy = parsePolicy("sink:4,rolling:10:turns");
	test.each([
		[8, [], 4],
		[100, [], 90],
		[100, [4, 60, 93, 99], 93],
	])("of %d tokens with turns at %j", (length, turns, start) => {
		expect(windowStart(policy, length, turns)).toBe(start);
		expect(pinnedTokens(policy)).toBe(4);
	});
});
