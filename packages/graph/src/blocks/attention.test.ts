/** The weights of attention against loops over numbers, and that asking for them changes nothing else. */
import { expect, test } from "vitest";
import { GraphBuilder } from "../builder.ts";
import { ndArray, sum } from "../testing/nd-array.ts";
import { randomTensor, seeded } from "../testing/random.ts";
import { runGraph } from "../testing/run-graph.ts";
import type { Dim, TensorData, Value } from "../types.ts";
import { type AttentionOutput, attention } from "./attention.ts";
import type { RecalledSegment } from "./recall.ts";

const [batch, kvHeads, group, tokens, headDim] = [2, 2, 3, 2, 8];
const queryHeads = kvHeads * group;
const slots = [3, 5] as const;
const [blockSize, stored, taken] = [4, 6, 2];
const MASKED = -1e30;

interface Parts {
	readonly archive?: boolean;
	readonly sinks?: boolean;
}

/** Two segments and the fresh tokens, without rotation. The second query alone sees the last slot of each segment. */
function build({ archive = false, sinks = false }: Parts): {
	graph: GraphBuilder;
	attended: AttentionOutput;
} {
	const graph = new GraphBuilder("attention");
	const input = (name: string, dims: readonly Dim[]): Value<"float32"> => graph.input(name, "float32", dims);
	// With an archive each token chooses for itself: as many choices, of one token each.
	const count = archive ? "choices*span" : "tokens";
	const remembered = (): RecalledSegment => ({
		heads: [0, 1],
		key: input("past.key", ["batch", kvHeads, 1, headDim, `${blockSize}*blocks`]),
		value: input("past.value", ["batch", kvHeads, 1, `${blockSize}*blocks`, headDim]),
		rotation: undefined,
		blockSize,
		blocks: taken,
		choices: {
			voters: graph.input("voters", "int32", ["choices", "voters"]),
			mask: input("blockMask", ["batch", 1, "choices", "blocks"]),
			numbers: graph.input("numbers", "int32", ["blocks"]),
			keyRows: graph.input("keyRows", "int32", ["batch", kvHeads, 1, headDim, 1]),
			valueRows: graph.input("valueRows", "int32", ["batch", kvHeads, 1, 1]),
		},
	});
	const attended = attention({
		query: input("query", ["batch", queryHeads, count, headDim]),
		key: input("key", ["batch", kvHeads, count, headDim]),
		value: input("value", ["batch", kvHeads, count, headDim]),
		rotation: undefined,
		segments: [0, 1].map((i) => ({
			key: input(`key.${i}`, ["batch", kvHeads, 1, headDim, `slots.${i}`]),
			value: input(`value.${i}`, ["batch", kvHeads, 1, `slots.${i}`, headDim]),
			rotation: undefined,
		})),
		archive: archive ? remembered() : undefined,
		mask: input("mask", ["batch", 1, 1, count, `slots.0+slots.1+${count}`]),
		sinks: sinks ? input("sinks", [queryHeads]) : undefined,
	});
	graph.output(attended.output, "output");
	return { graph, attended };
}

function feeds({ archive = false, sinks = false }: Parts): Record<string, TensorData> {
	const random = seeded(3);
	const floats = (...dims: number[]): TensorData<"float32"> => randomTensor(random, "float32", dims);
	const given = (dims: readonly number[], numbers: readonly number[]): TensorData<"float32"> => {
		const data = Float32Array.from(
			{ length: batch * numbers.length },
			(_, i) => numbers[i % numbers.length] ?? 0,
		);
		return { dtype: "float32", dims, data };
	};
	const integers = (dims: readonly number[], numbers: readonly number[]): TensorData<"int32"> => ({
		dtype: "int32",
		dims,
		data: Int32Array.from(numbers),
	});
	const rows = Array.from({ length: batch * kvHeads }, (_, head) => head * stored);
	const none = new Array<number>(tokens * stored).fill(0);
	return {
		query: floats(batch, queryHeads, tokens, headDim),
		key: floats(batch, kvHeads, tokens, headDim),
		value: floats(batch, kvHeads, tokens, headDim),
		...Object.fromEntries(
			slots.flatMap((length, i) => [
				[`key.${i}`, floats(batch, kvHeads, 1, headDim, length)],
				[`value.${i}`, floats(batch, kvHeads, 1, length, headDim)],
			]),
		),
		mask: given(
			[batch, 1, 1, tokens, slots[0] + slots[1] + tokens],
			[
				0,
				0,
				MASKED,
				0,
				0,
				0,
				0,
				MASKED,
				0,
				MASKED,
				...new Array<number>(slots[0] + slots[1] + tokens).fill(0),
			],
		),
		...(sinks && { sinks: floats(queryHeads) }),
		...(archive && {
			"past.key": floats(batch, kvHeads, 1, headDim, stored * blockSize),
			"past.value": floats(batch, kvHeads, 1, stored * blockSize, headDim),
			voters: integers([tokens, 1], [0, 1]),
			blockMask: given([batch, 1, tokens, stored], none),
			numbers: integers([stored], [...Array(stored).keys()]),
			keyRows: integers(
				[batch, kvHeads, 1, headDim, 1],
				rows.flatMap((row) => Array.from({ length: headDim }, (_, d) => row * headDim + d * stored)),
			),
			valueRows: integers([batch, kvHeads, 1, 1], rows),
		}),
	};
}

test.each([{}, { sinks: true }])("are the softmax of query · key, part by part: %o", async (parts) => {
	const { graph, attended } = build(parts);
	const { segments, fresh, sink, joined } = attended.weights;
	const columns = [...segments, fresh, ...(sink ? [sink] : [])];
	columns.forEach((part, i) => {
		graph.output(part, `part.${i}`);
	});
	graph.output(joined, "joined");
	const fed = feeds(parts);
	const got = await runGraph(graph, fed);
	const numbers = (name: string) => ndArray(fed[name] as TensorData);
	const [query, key, mask] = [numbers("query"), numbers("key"), numbers("mask")];
	const whole = ndArray(got.joined as TensorData);
	for (let b = 0; b < batch; b++)
		for (let head = 0; head < queryHeads; head++)
			for (let t = 0; t < tokens; t++) {
				const [kv, g] = [Math.floor(head / group), head % group];
				const score = (at: (d: number) => number): number =>
					sum(headDim, (d) => query.at(b, head, t, d) * at(d));
				const scores = [
					...slots.flatMap((length, i) =>
						Array.from({ length }, (_, slot) => score((d) => numbers(`key.${i}`).at(b, kv, 0, d, slot))),
					),
					...Array.from({ length: tokens }, (_, other) => score((d) => key.at(b, kv, other, d))),
				].map((x, i) => x + mask.at(b, 0, 0, t, i));
				if (sink !== undefined) scores.push(numbers("sinks").at(head));
				const most = Math.max(...scores);
				const all = sum(scores.length, (i) => Math.exp((scores[i] as number) - most));
				let at = 0;
				columns.forEach((_, i) => {
					const part = ndArray(got[`part.${i}`] as TensorData);
					for (let column = 0; column < (part.dims[4] as number); column++, at++) {
						const want = Math.exp((scores[at] as number) - most) / all;
						expect(part.at(b, kv, g, t, column)).toBeCloseTo(want, 5);
						expect(whole.at(b, kv, g, t, at)).toBe(part.at(b, kv, g, t, column));
						if (want === 0) expect(part.at(b, kv, g, t, column)).toBe(0);
					}
				});
				expect(at).toBe(scores.length);
			}
});

test("of what was recalled are what its traces sum, and all parts together are 1", async () => {
	const parts = { archive: true, sinks: true };
	const { graph, attended } = build(parts);
	const { joined, recalled } = attended.weights;
	graph.output(joined, "joined");
	graph.output(recalled as Value<"float32">, "recalled");
	graph.output(attended.recalled?.mass as Value<"float32">, "mass");
	const got = await runGraph(graph, feeds(parts));
	const [whole, on, mass] = ["joined", "recalled", "mass"].map((name) => ndArray(got[name] as TensorData));
	expect(on?.dims).toEqual([batch, kvHeads, group, tokens, taken * blockSize]);
	expect(whole?.dims.at(-1)).toBe(slots[0] + slots[1] + tokens + taken * blockSize + 1);
	for (let b = 0; b < batch; b++)
		for (let head = 0; head < kvHeads; head++)
			for (let t = 0; t < tokens; t++) {
				for (let block = 0; block < taken; block++) {
					const summed = sum(group, (g) =>
						sum(blockSize, (i) => on?.at(b, head, g, t, block * blockSize + i) as number),
					);
					expect(summed).toBeGreaterThan(0);
					expect(mass?.at(b, head, t, block)).toBeCloseTo(summed, 5);
				}
				for (let g = 0; g < group; g++)
					expect(sum(whole?.dims.at(-1) as number, (i) => whole?.at(b, head, g, t, i) as number)).toBeCloseTo(
						1,
						5,
					);
			}
});

test.each([{}, { archive: true, sinks: true }])(
	"asked for, change no bit of the output: %o",
	async (parts) => {
		const plain = build(parts);
		const asked = build(parts);
		asked.graph.output(asked.attended.weights.joined, "joined");
		const [without, output] = await Promise.all(
			[plain.graph, asked.graph].map((graph) => runGraph(graph, feeds(parts))),
		);
		expect(output?.output?.data).toEqual(without?.output?.data);
	},
);
