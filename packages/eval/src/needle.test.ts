import { dense, rolling, sink } from "@tok/kv-cache";
import { describe, expect, test } from "vitest";
import type { EvaluationProgress } from "./evaluation.ts";
import { type NeedleOptions, type NeedleResult, needle } from "./needle.ts";
import { fillerText } from "./testing/filler.ts";
import { recallingModel } from "./testing/recalling-model.ts";

const filler = fillerText(4000);
const options = (more: Partial<NeedleOptions>): NeedleOptions => ({
	policy: [dense()],
	filler,
	gaps: [100],
	samples: 5,
	...more,
});

describe("what a model that copies recalls", () => {
	test("everything with a memory of everything", async () => {
		const [result] = await needle(recallingModel(), options({ samples: 8 }));
		expect(result).toMatchObject({ gap: 100, exact: 8, samples: 8, tokenAccuracy: 1 });
		expect(result?.interval.low).toBeCloseTo(8 / (8 + 3.841459), 5);
		expect(result?.interval.high).toBe(1);
	});

	test("nothing from behind its window", async () => {
		const [result] = await needle(recallingModel(), options({ policy: [sink(4), rolling(100)] }));
		expect(result).toMatchObject({ exact: 0, samples: 5, tokenAccuracy: 0 });
		expect(result?.answers.map(({ got }) => got)).toEqual(Array(5).fill("?????"));
	});

	// From the code's first token to the answer: "48213.\n\n", the gap, and the question. The copying model also needs
	// the four tokens before the code.
	const question = "\n\nQuestion: What is the secret code?\nAnswer: The secret code is".length;
	const distance = (gap: number): number => " 48213.\n\n".length - 1 + gap + question;

	test("up to the token where its memory ends, and not from one token further", async () => {
		const far = distance(100);
		const [within] = await needle(
			recallingModel(() => far + 4),
			options({}),
		);
		const [beyond] = await needle(
			recallingModel(() => far - 1),
			options({}),
		);
		expect([within?.exact, beyond?.exact]).toEqual([5, 0]);
		expect([within?.distance, beyond?.distance]).toEqual([far, far]);
	});

	test("by gap, ascending, each distance counted exactly", async () => {
		const gaps = [900, 0, 60];
		const results = await needle(
			recallingModel(() => 300),
			options({ gaps, policy: [rolling(300)] }),
		);
		expect(results.map(({ gap, exact, distance: mean }) => [gap, exact, mean])).toEqual([
			[0, 5, distance(0)],
			[60, 5, distance(60)],
			[900, 0, distance(900)],
		]);
	});
});

describe("the streams", () => {
	const read = async (more: Partial<NeedleOptions>) => {
		const model = recallingModel();
		const results = await needle(model, options(more));
		expect(model.open).toBe(0);
		const texts = model.streams.map(({ ids, fork }) => ({ text: model.tokenizer.decode(ids), ids, fork }));
		return { results, texts };
	};

	test("with an archive they begin with it, which is opened once", async () => {
		const archive = "All that was read before. ";
		const { texts, results } = await read({ samples: 3, archive });
		expect(results[0]).toMatchObject({ exact: 3, samples: 3 });
		const [opened, ...streams] = texts;
		expect(opened).toEqual({ text: archive, ids: expect.any(Array), fork: false });
		expect(streams).toHaveLength(3);
		expect(streams.every(({ text, fork }) => fork && text.startsWith(archive))).toBe(true);
		// What comes after it is what it would be without.
		const { texts: alone } = await read({ samples: 3 });
		expect(streams.map(({ text }) => text.slice(archive.length))).toEqual(alone.map(({ text }) => text));
	});

	test("start of text, 64 tokens, the fact, the gap, the question, the answer", async () => {
		const { texts, results } = await read({ samples: 1 });
		expect(texts).toHaveLength(1);
		const [{ text, ids } = { text: "", ids: [] }] = texts;
		const code = results[0]?.answers[0]?.expected.trim();
		const [lead, gap] = text.split(`\n\nThe secret code is ${code}.\n\n`);
		expect(ids[0]).toBe(256);
		expect(lead).toHaveLength(64);
		expect(gap?.indexOf("\n\nQuestion")).toBe(100);
		expect(gap?.slice(100)).toBe(
			`\n\nQuestion: What is the secret code?\nAnswer: The secret code is ${code}`,
		);
		expect(filler).toContain(lead + (gap?.slice(0, 100) ?? ""));
	});

	test("differ in code and in filler, and not between two runs with one seed", async () => {
		const [first, again, other] = await Promise.all([read({}), read({}), read({ seed: 2 })]);
		expect(again.texts).toEqual(first.texts);
		expect(again.results).toEqual(first.results);
		expect(other.texts).not.toEqual(first.texts);
		const answers = first.results[0]?.answers ?? [];
		expect(new Set(answers.map(({ expected }) => expected)).size).toBe(5);
		expect(new Set(first.texts.map(({ text }) => text.slice(0, 64))).size).toBe(5);
	});

	test("are read once for all gaps: shorter ones are asked of forks", async () => {
		const { texts } = await read({ gaps: [10, 100], samples: 1 });
		expect(texts.map(({ fork }) => fork)).toEqual([false, true]);
		expect(texts[0]?.text.match(/Question/g)).toHaveLength(1);
	});

	test("are the same in however many pieces they are read, and progress comes with each", async () => {
		const seen: number[] = [];
		const pieces = await read({ chunk: 1, samples: 1, onProgress: ({ tokens }) => seen.push(tokens) });
		expect(pieces.texts).toEqual((await read({ samples: 1 })).texts);
		// Of 32 chunks each: 1 + 64 + 28 tokens before the gap, 100 in it.
		expect(seen.slice(0, 7)).toEqual([32, 64, 93, 125, 157, 189, 193]);
	});

	test("are the same whether the filler comes as text or as ids", async () => {
		const { tokenizer } = recallingModel();
		const ids = Int32Array.from(tokenizer.encode(filler, { addSpecialTokens: false }));
		expect((await read({ filler: ids })).texts).toEqual((await read({})).texts);
	});
});

describe("several facts", () => {
	test("each has a name, and the code of the one that is asked for is the answer", async () => {
		const model = recallingModel();
		const [result] = await needle(model, options({ facts: 4, samples: 12 }));
		expect(result).toMatchObject({ exact: 12, samples: 12 });
		const asked = model.streams.map(({ ids }) => {
			const text = model.tokenizer.decode(ids);
			const planted = [...text.matchAll(/The secret code of (\w+) is (\d{5})\.\n\n/g)];
			expect(planted).toHaveLength(4);
			expect(new Set(planted.map(([, name]) => name)).size).toBe(4);
			const [, name, code] = /Answer: The secret code of (\w+) is (\d{5})$/.exec(text) ?? [];
			return planted.findIndex(([, one, its]) => one === name && its === code);
		});
		expect(new Set(asked)).toEqual(new Set([0, 1, 2, 3]));
	});

	test("the gap follows the last one", async () => {
		const model = recallingModel();
		await needle(model, options({ facts: 2, samples: 1 }));
		const text = model.tokenizer.decode(model.streams[0]?.ids ?? []);
		expect(text.slice(text.lastIndexOf(".\n\n") + 3).indexOf("\n\nQuestion")).toBe(100);
	});
});

test("a paraphrase shares no word with the planted sentence but the smallest", async () => {
	const model = recallingModel();
	const [result] = await needle(model, options({ paraphrase: true, samples: 1 }));
	const text = model.tokenizer.decode(model.streams[0]?.ids ?? []);
	expect(text).toContain("\n\nQuestion: Which number opens the lock?\nAnswer: The number is");
	// A model that only copies cannot answer it.
	expect(result?.exact).toBe(0);
});

describe("on the way", () => {
	test("progress counts every token, and holds the results of what is done", async () => {
		const seen: EvaluationProgress<readonly NeedleResult[]>[] = [];
		const results = await needle(
			recallingModel(),
			options({ gaps: [10, 100], onProgress: (at) => seen.push(at) }),
		);
		const last = seen.at(-1);
		expect(last?.results).toEqual(results);
		expect(last?.tokens).toBe(last?.totalTokens);
		const tokens = seen.map((at) => at.tokens);
		expect(tokens).toEqual(tokens.toSorted((a, b) => a - b));
		expect(seen[0]?.results.map(({ samples }) => samples)).toEqual([0, 0]);
	});

	test("the signal rejects with its reason; nothing stays open, and what was done is known", async () => {
		const model = recallingModel();
		const controller = new AbortController();
		let done: readonly NeedleResult[] = [];
		const running = needle(
			model,
			options({
				signal: controller.signal,
				onProgress: ({ results }) => {
					done = results;
					if (results[0]?.samples === 2) controller.abort(new Error("enough"));
				},
			}),
		);
		await expect(running).rejects.toThrow("enough");
		expect(done[0]).toMatchObject({ samples: 2, exact: 2 });
		expect(model.open).toBe(0);
	});

	test("a signal that was aborted before reads nothing", async () => {
		const model = recallingModel();
		await expect(needle(model, options({ signal: AbortSignal.abort() }))).rejects.toThrow("aborted");
		expect(model.streams.flatMap(({ ids }) => ids)).toEqual([]);
	});
});

test.each<[Partial<NeedleOptions>, string]>([
	[
		{ filler: "short" },
		"[tok/eval] filler: expected at least 164 tokens (64 before the fact + 100 after), got 5. Give a longer text",
	],
	[
		{ filler: "short", facts: 3 },
		"expected at least 292 tokens (3 × 64 before the facts + 100 after), got 5",
	],
	[{ gaps: [] }, "gaps: expected at least one integer, got none"],
	[{ gaps: [-1] }, "gaps: expected an integer ≥ 0, got -1"],
	[{ gaps: [5, 5] }, "gaps: expected each value once, got 5 twice"],
	[{ samples: 0 }, "samples: expected an integer from 1 to 4096, got 0"],
	[{ seed: 0.5 }, "seed: expected an integer from 0 to 4294967295, got 0.5"],
	[{ facts: 9 }, "facts: expected an integer from 1 to 8, got 9. There are no more names"],
])("%o is refused before anything is read", async (more, message) => {
	const model = recallingModel();
	await expect(needle(model, options(more))).rejects.toThrow(message);
	expect(model.streams).toEqual([]);
});

test("a filler of just the length is enough", async () => {
	const [result] = await needle(recallingModel(), options({ filler: filler.slice(0, 164) }));
	expect(result?.exact).toBe(5);
});
