import { dense, rolling } from "@tok/kv-cache";
import { describe, expect, test } from "vitest";
import type { EvaluationProgress } from "./evaluation.ts";
import { adjectives, nouns } from "./line-words.ts";
import { type StreamEvalOptions, type StreamEvalResult, streamEval } from "./stream-eval.ts";
import { recallingModel } from "./testing/recalling-model.ts";

const options = (more: Partial<StreamEvalOptions> = {}): StreamEvalOptions => ({
	policy: [dense()],
	distances: [1, 5, 30],
	queries: 4,
	...more,
});

test("320 words of each kind, none of them twice", () => {
	expect([adjectives.length, nouns.length]).toEqual([320, 320]);
	expect(new Set([...adjectives, ...nouns]).size).toBe(640);
});

describe("what a model that copies recalls", () => {
	test("every line with a memory of everything", async () => {
		const results = await streamEval(recallingModel(), options({ distances: [30, 1, 5] }));
		expect(results.map(({ lines, exact, samples, tokenAccuracy }) => [lines, exact, samples, tokenAccuracy]))
			// Ascending, whatever the order they are asked for in.
			.toEqual([
				[1, 4, 4, 1],
				[5, 4, 4, 1],
				[30, 4, 4, 1],
			]);
	});

	test("lines within its memory, and none behind it", async () => {
		const results = await streamEval(recallingModel(), options({ policy: [rolling(900)] }));
		for (const { exact, answers } of results) {
			// It copies from any line it sees, so an answer is either right or another line's.
			const within = answers.filter(({ distance }) => distance < 850).length;
			expect(exact).toBe(within);
		}
		expect(results.map(({ exact }) => exact)).toEqual([4, 4, 0]);
	});

	test("distances in tokens are counted exactly", async () => {
		const model = recallingModel();
		const [near, far] = await streamEval(model, options({ distances: [1, 3], queries: 2, every: 2 }));
		const forks = model.streams.filter(({ fork }) => fork).map(({ ids }) => model.tokenizer.decode(ids));
		const distances = forks.map((text) => {
			const [, code] = /<(\d{5})$/.exec(text) ?? [];
			return text.lastIndexOf(`<${code}`) - text.indexOf(`<${code}>`);
		});
		// At each place the nearer line is asked for first.
		expect(near?.answers.map(({ distance }) => distance)).toEqual([distances[0], distances[2]]);
		expect(far?.answers.map(({ distance }) => distance)).toEqual([distances[1], distances[3]]);
		expect(near?.distance).toBe(((distances[0] ?? 0) + (distances[2] ?? 0)) / 2);
	});
});

describe("the stream", () => {
	const read = async (more: Partial<StreamEvalOptions> = {}) => {
		const model = recallingModel();
		await streamEval(model, options(more));
		expect(model.open).toBe(0);
		const [stream, ...forks] = model.streams;
		return {
			ids: stream?.ids ?? [],
			text: model.tokenizer.decode(stream?.ids ?? []),
			forks: forks.map(({ ids }) => model.tokenizer.decode(ids)),
		};
	};

	test("is a heading and lines, each with a name and a code of its own, and no question", async () => {
		const { ids, text } = await read();
		expect(ids[0]).toBe(256);
		const [heading, lines = ""] = text.split("\n\n");
		expect(heading).toBe("Every line below has a name of its own and a registered content.");
		const found = lines.trimEnd().split("\n");
		// The furthest line, and ten lines between four places.
		expect(found).toHaveLength(30 + 3 * 10);
		const parts = found.map((line) =>
			/^line (\w+ \w+): The registered content of line \1 is <(\d{5})>$/.exec(line),
		);
		expect(new Set(parts.map((part) => part?.[1])).size).toBe(60);
		expect(new Set(parts.map((part) => part?.[2])).size).toBe(60);
	});

	test("is the same whatever is asked, and asked about at the same places", async () => {
		const [few, many] = await Promise.all([read({ distances: [30] }), read({ distances: [1, 2, 30] })]);
		expect(many.ids).toEqual(few.ids);
		expect([few.forks.length, many.forks.length]).toEqual([4, 12]);
	});

	test("is another for another seed", async () => {
		const [one, again, two] = await Promise.all([read(), read(), read({ seed: 2 })]);
		expect(again).toEqual(one);
		expect(two.ids).not.toEqual(one.ids);
	});

	test("asks for the line so many lines back, in its own words", async () => {
		const { text, forks } = await read({ distances: [3], queries: 1 });
		const lines = text.split("\n\n")[1]?.trimEnd().split("\n") ?? [];
		expect(forks[0]?.split("\n").at(-1)).toBe(lines.at(-3)?.slice(0, -1));
	});
});

test("progress counts every token, and holds the results of what is done", async () => {
	const seen: EvaluationProgress<readonly StreamEvalResult[]>[] = [];
	const results = await streamEval(recallingModel(), options({ onProgress: (at) => seen.push(at) }));
	const last = seen.at(-1);
	expect(last?.results).toEqual(results);
	expect(last?.tokens).toBe(last?.totalTokens);
});

test("the signal rejects with its reason; nothing stays open", async () => {
	const model = recallingModel();
	const controller = new AbortController();
	const running = streamEval(
		model,
		options({
			signal: controller.signal,
			onProgress: ({ results }) => results[0]?.samples === 2 && controller.abort(new Error("enough")),
		}),
	);
	await expect(running).rejects.toThrow("enough");
	expect(model.open).toBe(0);
});

test.each<[Partial<StreamEvalOptions>, string]>([
	[{ distances: [] }, "[tok/eval] distances: expected at least one integer, got none."],
	[{ distances: [0] }, "distances: expected an integer from 1 to 102400, got 0."],
	[{ distances: [102_401] }, "distances: expected an integer from 1 to 102400, got 102401."],
	[{ distances: [3, 3] }, "distances: expected each value once, got 3 twice."],
	[{ queries: 0 }, "queries: expected an integer from 1 to 100000, got 0."],
	[{ every: 0.5 }, "every: expected an integer from 1 to 100000, got 0.5."],
])("%o is refused before anything is read", async (more, message) => {
	const model = recallingModel();
	await expect(streamEval(model, options(more))).rejects.toThrow(message);
	expect(model.streams).toEqual([]);
});
