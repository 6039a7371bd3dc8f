/** The real model's first tokens hold much of its attention, wherever the stream is: what sinks are for. S42 of SPEC.md. */
import { parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { expect, test } from "vitest";
import { loadModel } from "../load-model.ts";
import { goldenTokens } from "../testing/real-goldens.ts";
import { fetchedModelPath } from "../testing/real-model.ts";

const { path, reason } = await fetchedModelPath();
const book = [...goldenTokens().subarray(0, 600)];

test.skipIf(path === undefined)(
	`S42: four sinks hold a large share of the attention of 257 entries${path === undefined ? ` (skipped: ${reason})` : ""}`,
	async () => {
		await using runtime = cpu();
		await using model = await loadModel(path as string, { runtime });
		const session = model.createSession({ policy: parsePolicy("sink:4,rolling:252"), attention: true });
		await session.append(book);
		const seen = session.attention();
		expect(seen?.token).toBe(599);
		const { entries = [], weights = new Float32Array(0), layers = 0, heads = 0 } = seen ?? {};
		expect([layers, heads, entries.length]).toEqual([30, 9, 257]);
		expect(entries.slice(0, 5).map(({ segment, slot, start }) => [segment, slot, start])).toEqual([
			[0, 0, 0],
			[0, 1, 1],
			[0, 2, 2],
			[0, 3, 3],
			[1, (599 - 252 - 4) % 252, 599 - 252],
		]);
		let onSinks = 0;
		for (let row = 0; row < layers * heads; row++) {
			const on = weights.subarray(row * entries.length, (row + 1) * entries.length);
			expect(Math.abs(on.reduce((sum, weight) => sum + weight, 0) - 1)).toBeLessThanOrEqual(1e-5);
			onSinks += on.subarray(0, 4).reduce((sum, weight) => sum + weight, 0);
		}
		// Evenly they would have 4 of 257; it is a third.
		expect(onSinks / (layers * heads)).toBeGreaterThan(0.25);
	},
);
