/** Recall against loops over numbers: which blocks are chosen, and what attention takes from them. */
import { expect, test } from "vitest";
import { GraphBuilder } from "../builder.ts";
import { reduceSum, softmax } from "../ops/reduction.ts";
import { concat, reshape, split } from "../ops/shape.ts";
import { type NdArray, ndArray, sum } from "../testing/nd-array.ts";
import { randomTensor, seeded } from "../testing/random.ts";
import { runGraph } from "../testing/run-graph.ts";
import type { TensorData, Value } from "../types.ts";
import type { Stored } from "./coded.ts";
import { recall } from "./recall.ts";

interface Case {
	readonly batch: number;
	readonly heads: readonly number[];
	readonly coded: boolean;
	readonly choices: number;
	readonly span: number;
	readonly voters: readonly number[];
	/** Blocks in sight of each choice. */
	readonly inSight: readonly number[];
	/** What keys that no choice sees are multiplied by. */
	readonly hidden: number;
	/** Defaults to false. */
	readonly rotatedChoose?: boolean;
}

const [kvHeads, group, headDim, blockSize, stored, taken] = [3, 2, 8, 4, 10, 3];
const slots = stored * blockSize;
const MASKED = -1e30;

const each: Case = {
	batch: 1,
	heads: [0, 1, 2],
	coded: false,
	choices: 2,
	span: 1,
	voters: [0, 1],
	inSight: [10, 10],
	hidden: 1,
};
const cases: readonly (readonly [name: string, options: Case])[] = [
	["each token chooses", each],
	["two sequences", { ...each, batch: 2 }],
	["a choice for two tokens", { ...each, choices: 2, span: 2, voters: [0, 1, 2, 3] }],
	["a choice that one token makes for four", { ...each, choices: 1, span: 4, voters: [3], inSight: [10] }],
	["some blocks out of sight", { ...each, inSight: [6, 8] }],
	["fewer blocks in sight than are taken", { ...each, inSight: [2, 1] }],
	["keys out of sight that would take all of the softmax", { ...each, inSight: [6, 8], hidden: 1000 }],
	["none in sight", { ...each, inSight: [0, 4] }],
	["rotated queries choose", { ...each, rotatedChoose: true }],
	[
		"rotated queries choose, of codes in two heads, for two tokens",
		{ ...each, coded: true, heads: [0, 2], span: 2, rotatedChoose: true },
	],
	["one head remembers", { ...each, heads: [1] }],
	["two heads remember, of two sequences", { ...each, heads: [0, 2], batch: 2 }],
	["8-bit codes", { ...each, coded: true }],
	[
		"8-bit codes in two heads, a choice for two tokens",
		{ ...each, coded: true, heads: [1, 2], span: 2, batch: 2 },
	],
];

test.each(cases)("%s", async (_, options) => {
	const { batch, heads, coded, choices, span, voters, inSight, hidden, rotatedChoose = false } = options;
	// One of the seeds with which no two blocks are so near that queries of 7 bits choose otherwise.
	const random = seeded(5);
	const tokens = choices * span;
	const query = randomTensor(random, "float32", [batch, kvHeads, group, tokens, headDim]);
	const rotated = randomTensor(random, "float32", [batch, kvHeads, group, tokens, headDim]);
	const key = archive(random, [batch, heads.length, 1, headDim, slots], 4, coded);
	const value = archive(random, [batch, heads.length, 1, slots, headDim], 3, coded);
	if (!coded)
		multiplySlots(key.feeds("key").key as TensorData<"float32">, blockSize * Math.max(...inSight), hidden);
	const visible = Array.from({ length: batch }, () =>
		inSight.map((count) => Array.from({ length: stored }, (_, block) => Number(block < count))),
	).flat(2);

	const graph = new GraphBuilder("recall");
	const input = (name: string): Value<"float32"> =>
		graph.input(name, "float32", ["batch", kvHeads, group, "choices*span", headDim]);
	const archived = (name: string, { codes }: Kept, last: readonly (number | string)[]): Stored => {
		const dims = ["batch", heads.length, 1, ...last];
		if (codes === undefined) return graph.input(name, "float32", dims);
		const scaleDims = dims.with(name === "key" ? 3 : 4, 1);
		return {
			codes: graph.input(name, "int8", dims),
			scale: graph.input(`${name}Scale`, "float32", scaleDims),
		};
	};
	const length = `${blockSize}*blocks`;
	const unrotated = input("query");
	graph.output(reduceSum(unrotated), "read in any case");
	const recalled = recall(unrotated, input("rotated"), {
		heads,
		rotatedChoose,
		key: archived("key", key, [headDim, length]),
		value: archived("value", value, [length, headDim]),
		rotation: undefined,
		blockSize,
		blocks: taken,
		choices: {
			voters: graph.input("voters", "int32", ["choices", "voters"]),
			mask: graph.input("mask", "float32", ["batch", 1, "choices", "blocks"]),
			numbers: graph.input("numbers", "int32", ["blocks"]),
			keyRows: graph.input("keyRows", "int32", ["batch", heads.length, 1, headDim, 1]),
			valueRows: graph.input("valueRows", "int32", ["batch", heads.length, 1, 1]),
		},
	});
	// As attention does, with a score of 0 for the token itself.
	const own = reshape(
		graph.input("own", "float32", ["batch", kvHeads, group, "choices*span"]),
		[0, 0, 0, 0, 1],
	);
	const weights = softmax(concat([own, recalled.scores], 4), -1);
	const [, share] = split(weights, [1, recalled.entries], 4) as [Value<"float32">, Value<"float32">];
	const { output, blocks, mass } = recalled.attend(share);
	graph.output(output, "output");
	graph.output(blocks, "blocks");
	graph.output(mass, "mass");

	const rows = Array.from({ length: batch * heads.length }, (_, head) => head * stored);
	const integers = (dims: readonly number[], values: readonly number[]): TensorData<"int32"> => ({
		dtype: "int32",
		dims,
		data: Int32Array.from(values),
	});
	const floats = (dims: readonly number[], values: readonly number[]): TensorData<"float32"> => ({
		dtype: "float32",
		dims,
		data: Float32Array.from(values),
	});
	const got = await runGraph(graph, {
		query,
		rotated,
		...key.feeds("key"),
		...value.feeds("value"),
		voters: integers([choices, voters.length / choices], voters),
		mask: floats(
			[batch, 1, choices, stored],
			visible.map((seen) => (seen === 1 ? 0 : MASKED)),
		),
		numbers: integers([stored], [...Array(stored).keys()]),
		keyRows: integers(
			[batch, heads.length, 1, headDim, 1],
			rows.flatMap((row) => Array.from({ length: headDim }, (_, d) => row * headDim + d * stored)),
		),
		valueRows: integers([batch, heads.length, 1, 1], rows),
		own: floats([batch, kvHeads, group, tokens], new Array(batch * kvHeads * group * tokens).fill(0)),
	});

	const result = ndArray(got.output as TensorData);
	const [q, r] = [ndArray(query), ndArray(rotated)];
	const [gotBlocks, gotMass] = [ndArray(got.blocks as TensorData), ndArray(got.mass as TensorData)];
	for (let b = 0; b < batch; b++)
		for (let head = 0; head < kvHeads; head++) {
			const i = heads.indexOf(head);
			for (let choice = 0; choice < choices; choice++) {
				const each = voters.length / choices;
				const asking = voters.slice(choice * each, (choice + 1) * each);
				const best =
					i < 0
						? []
						: chosen(rotatedChoose ? r : q, key.numbers, {
								b,
								head,
								i,
								asking,
								inSight: inSight[choice] ?? 0,
							});
				const masses = best.map(() => 0);
				for (let g = 0; g < group; g++)
					for (let t = choice * span; t < (choice + 1) * span; t++) {
						const seen = best.flatMap((block) =>
							Array.from({ length: blockSize }, (_, e) => block * blockSize + e),
						);
						const scores = seen.map((slot) =>
							sum(headDim, (d) => r.at(b, head, g, t, d) * key.numbers.at(b, i, 0, d, slot)),
						);
						const shares = softmaxOf([0, ...scores]).slice(1);
						for (let d = 0; d < headDim; d++) {
							const want = sum(seen.length, (n) => {
								return (shares[n] as number) * value.numbers.at(b, i, 0, seen[n] as number, d);
							});
							expect(result.at(b, head, g, t, d)).toBeCloseTo(want, 4);
						}
						shares.forEach((share, n) => {
							const at = Math.floor(n / blockSize);
							masses[at] = (masses[at] as number) + share;
						});
					}
				best.forEach((block, rank) => {
					expect(gotBlocks.at(b, i, choice, rank)).toBe(block);
					expect(gotMass.at(b, i, choice, rank)).toBeCloseTo(masses[rank] as number, 4);
				});
				// What was taken for want of others weighs nothing.
				for (let rank = best.length; i >= 0 && rank < taken; rank++)
					expect(gotMass.at(b, i, choice, rank)).toBe(0);
			}
		}
});

interface Kept {
	readonly codes: TensorData<"int8"> | undefined;
	/** What the codes or the numbers stand for. */
	readonly numbers: NdArray;
	feeds(name: string): Record<string, TensorData>;
}

/** `slotAxis` is the axis of the slots. */
function archive(random: () => number, dims: readonly number[], slotAxis: number, coded: boolean): Kept {
	if (!coded) {
		const tensor = randomTensor(random, "float32", dims);
		return { codes: undefined, numbers: ndArray(tensor), feeds: (name) => ({ [name]: tensor }) };
	}
	const codes = randomTensor(random, "int8", dims, [-127, 128]);
	const other = slotAxis === 4 ? 3 : 4;
	const scale = randomTensor(random, "float32", dims.with(other, 1), [0.002, 0.02]);
	const [code, step] = [ndArray(codes), ndArray(scale)];
	return {
		codes,
		numbers: { dims, at: (...index) => code.at(...index) * step.at(...index) },
		feeds: (name) => ({ [name]: codes, [`${name}Scale`]: scale }),
	};
}

/** Multiplies keys [batch, heads, 1, headDim, slots] in slots from `from` on. */
function multiplySlots({ data }: TensorData<"float32">, from: number, by: number): void {
	for (const [i, x] of data.entries()) if (i % slots >= from) data[i] = by * x;
}

/** The blocks with the most mass, best first, of those in sight. */
function chosen(
	query: NdArray,
	key: NdArray,
	at: {
		readonly b: number;
		readonly head: number;
		readonly i: number;
		readonly asking: readonly number[];
		readonly inSight: number;
	},
): number[] {
	const mass = new Array<number>(at.inSight).fill(0);
	for (let g = 0; g < group; g++)
		for (const t of at.asking) {
			const scores = Array.from({ length: at.inSight * blockSize }, (_, slot) =>
				sum(headDim, (d) => query.at(at.b, at.head, g, t, d) * key.at(at.b, at.i, 0, d, slot)),
			);
			softmaxOf(scores).forEach((share, slot) => {
				const block = Math.floor(slot / blockSize);
				mass[block] = (mass[block] as number) + share;
			});
		}
	return [...mass.keys()].sort((x, y) => (mass[y] as number) - (mass[x] as number)).slice(0, taken);
}

function softmaxOf(scores: readonly number[]): number[] {
	const most = Math.max(...scores);
	const shares = scores.map((score) => Math.exp(score - most));
	const total = shares.reduce((a, b) => a + b, 0);
	return shares.map((share) => share / total);
}
