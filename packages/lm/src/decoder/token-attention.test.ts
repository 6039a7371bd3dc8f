/** The attention that sessions tell of, on tiny models: S42 and S43 of SPEC.md, against a reference that keeps lists. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parsePolicy } from "@tok/kv-cache";
import { cpu } from "@tok/runtime-cpu";
import { afterAll, describe, expect, test } from "vitest";
import { diskFolder } from "../formats/file-source.ts";
import type { TokenAttention } from "../model.ts";
import { openTransformersDecoder } from "../open-decoder.ts";
import { readGoldenLogits } from "../testing/golden-logits.ts";
import { openTensorFile } from "../testing/open-tensor-file.ts";
import {
	type ReferenceAttention,
	ReferenceDecoder,
	type ReferencePolicy,
} from "../testing/reference-decoder.ts";
import { DecoderEngine } from "./decoder-engine.ts";
import { DecoderState } from "./decoder-state.ts";

const goldens = fileURLToPath(new URL("../../../../goldens/", import.meta.url));
const runtime = cpu({ threads: 1 });
afterAll(() => runtime.dispose());

/** One of each kind: all layers alike; windows of their own in some; a learned sink besides. */
const models = ["lm-tiny/llama", "lm-tiny-extra/qwen2-window", "lm-tiny/gpt-oss"];
const TOKENS = 70;

const policies: readonly (readonly [policy: string, reference: Omit<ReferencePolicy, "positions">])[] = [
	["dense", { sinks: 0, rolling: Number.POSITIVE_INFINITY }],
	["rolling:16", { sinks: 0, rolling: 16 }],
	["sink:3,sink:1,rolling:12", { sinks: 4, rolling: 12 }],
	[
		"sink:2,memory:24/2x4,rolling:13",
		{ sinks: 2, rolling: 13, memory: { capacity: 24, recall: 2, blockSize: 4 } },
	],
	[
		"sink:1,compressive:5/2/max,memory:24/2x4,rolling:16",
		{
			sinks: 1,
			rolling: 16,
			memory: { capacity: 24, recall: 2, blockSize: 4 },
			compressive: { slots: 5, rate: 2, compressor: "max" },
		},
	],
];

describe.each(models)("S42 S43: the attention of %s", (name) => {
	const folder = join(goldens, name);
	const stream = readGoldenLogits(openTensorFile(join(folder, "io.safetensors")))
		.streams.flat()
		.slice(0, TOKENS);
	const reference = new ReferenceDecoder(folder);
	const { file, ...decoder } = openTransformersDecoder(diskFolder(folder));
	const engine = new DecoderEngine({ ...decoder, precision: "exact", runtime });
	afterAll(async () => {
		await engine.dispose();
		file.close();
	});

	test.each(policies)("under %s is the reference's, however the stream is cut", async (text, held) => {
		const policy = parsePolicy(text);
		for (const positions of ["in-cache", "original"] as const) {
			const want = new Map<string, ReferenceAttention>();
			reference.read(
				stream,
				{ ...held, positions },
				{
					onAttention: (token, layer, head, on) => want.set(`${token} ${layer} ${head}`, on),
				},
			);
			for (const chunk of [1, 7, 64]) {
				const state = DecoderState.create(engine, policy, positions, true);
				expect(state.tokenAttention()).toBeUndefined();
				for (let from = 0; from < TOKENS; ) {
					const { take } = await state.read(stream, { from, to: TOKENS, chunk, scored: "all" });
					from += take;
					const told = state.tokenAttention() as TokenAttention;
					expect(told.token).toBe(from - 1);
					expectReference(
						told,
						(layer, head) => want.get(`${from - 1} ${layer} ${head}`) as ReferenceAttention,
					);
					expectPlaces(told, state);
				}
				state.dispose();
			}
		}
	});

	test("under recompute is on the tokens that are read, which have no slots", async () => {
		const state = DecoderState.create(engine, parsePolicy("recompute:9"), "in-cache", true);
		await state.read(stream, { from: 0, to: 40, chunk: 8, scored: "last" });
		const { token, entries, ...told } = state.tokenAttention() as TokenAttention;
		expect(token).toBe(39);
		expect(entries).toEqual(
			Array.from({ length: 10 }, (_, i) => ({ segment: 0, slot: undefined, start: 30 + i, end: 31 + i })),
		);
		expectWhole({ token, entries, ...told });
		await state.read(stream, { from: 40, to: 41, chunk: 8, scored: "none" });
		expect(state.tokenAttention()).toBeUndefined();
		state.dispose();
	});

	test("is told by a graph of its own, which reads as the other does", async () => {
		const policy = parsePolicy("sink:2,memory:24/2x4,rolling:13");
		const [plain, telling] = [false, true].map((attention) =>
			DecoderState.create(engine, policy, "in-cache", attention),
		) as [DecoderState, DecoderState];
		const graphs = [false, true].map((attention) => engine.graph(engine.segments(policy), attention));
		const [without, withIt] = await Promise.all(graphs);
		const outputs = (withIt?.outputNames ?? []).filter((each) => !without?.outputNames.includes(each));
		expect(outputs.every((each) => each.startsWith("attention"))).toBe(true);
		expect(outputs.length).toBeGreaterThan(0);
		for (let from = 0; from < 40; from++) {
			const options = { from, to: from + 1, chunk: 1, scored: "last" } as const;
			const [a, b] = [await plain.read(stream, options), await telling.read(stream, options)];
			expect(b.logits).toEqual(a.logits);
		}
		expect(plain.tokenAttention()).toBeUndefined();
	});
});

/** Every head's weights, recalled and learned parts are its whole attention. */
function expectWhole({ layers, heads, entries, weights, recalled, learned }: TokenAttention): void {
	expect(weights).toHaveLength(layers * heads * entries.length);
	for (let row = 0; row < layers * heads; row++) {
		const on = weights.subarray(row * entries.length, (row + 1) * entries.length);
		const sum = on.reduce((total, weight) => total + weight, 0);
		const whole = sum + (recalled[row] as number) + (learned[row] as number);
		expect(Math.abs(whole - 1)).toBeLessThanOrEqual(1e-5);
	}
}

function expectReference(
	told: TokenAttention,
	reference: (layer: number, head: number) => ReferenceAttention,
): void {
	const { layers, heads, entries, weights, recalled, learned } = told;
	expectWhole(told);
	let worst = 0;
	for (let layer = 0; layer < layers; layer++)
		for (let head = 0; head < heads; head++) {
			const row = layer * heads + head;
			const want = reference(layer, head);
			const compare = (got: number | undefined, expected: number): void => {
				worst = Math.max(worst, Math.abs((got ?? Number.NaN) - expected));
			};
			entries.forEach(({ start }, i) => {
				compare(weights[row * entries.length + i], want.entries.get(start) ?? 0);
			});
			for (const index of want.entries.keys())
				expect(entries.some(({ start }) => start === index)).toBe(true);
			compare(recalled[row], want.recalled);
			compare(learned[row], want.learned);
		}
	expect(worst).toBeLessThanOrEqual(2e-5);
}

/** Segment after segment, old before new, each token once, and none of the entries that are cached twice in a slot. */
function expectPlaces({ token, entries }: TokenAttention, state: DecoderState): void {
	const { policy } = state.cache;
	const places = entries.map(({ segment, start }) => [segment, start] as const);
	expect(places).toEqual([...places].sort(([a, x], [b, y]) => a - b || x - y));
	expect(entries.some(({ start, end }) => start === token && end === token + 1)).toBe(true);
	for (const { segment, slot, start, end } of entries) {
		const rate = policy[segment]?.kind === "compressive" ? 2 : 1;
		expect(end - start).toBe(rate);
		expect(slot).toBeLessThan(state.store.shape.slots[segment] as number);
	}
}
