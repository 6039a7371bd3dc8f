/** Whether a model fits. */
import { describe, expect, test } from "vitest";
import { growthOf, roomProblem } from "./room.ts";

describe("room for a model", () => {
	const room = { missing: 98e6, quota: undefined, usage: undefined };
	test("fits, is too large for a page, or for the quota", () => {
		expect(roomProblem({ ...room, bytes: 98e6, growth: 2, quota: 1e9, usage: 0 })).toBeUndefined();
		expect(roomProblem({ ...room, bytes: 98e6, growth: 2 })).toBeUndefined();
		expect(roomProblem({ ...room, bytes: 1e9, growth: 2 })).toBeUndefined();
		expect(roomProblem({ ...room, bytes: 1e9, growth: 7 })).toContain(
			"1.00\u202fGB and takes about 7.00\u202fGB",
		);
		expect(roomProblem({ ...room, bytes: 98e6, growth: 2, quota: 100e6, usage: 50e6 })).toContain(
			"grants this site",
		);
	});

	test("one of which most is kept already needs room for the rest alone", () => {
		expect(roomProblem({ bytes: 98e6, missing: 1e6, growth: 2, quota: 100e6, usage: 97e6 })).toBeUndefined();
	});

	test.each([
		["https://a.example/SmolLM2-135M-Instruct.Q4_1.gguf", 32 / 4.5, 10 / 4.5],
		["model-IQ4_XS.gguf", 32 / 4.5, 10 / 4.5],
		["model.q8_0.gguf", 32 / 8.5, 10 / 8.5],
		["qwen2-f16.gguf", 2, 2],
		["smollm2-135m", 2, 2],
	])("%s grows %d times in float32, %d in blocks", (name, dense, blocks) => {
		expect([growthOf(name, false), growthOf(name, true)]).toEqual([dense, blocks]);
	});
});
