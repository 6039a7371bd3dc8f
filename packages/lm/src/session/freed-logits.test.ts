/** S1: a step's outputs are freed with it, so that a stream leaves no garbage of their size. */
import { rolling, sink } from "@tok/kv-cache";
import type { Runtime } from "@tok/runtime";
import { cpu } from "@tok/runtime-cpu";
import { beforeEach, expect, test } from "vitest";
import { collect } from "../testing/collect.ts";
import { openTinyModel } from "../testing/open-tiny-model.ts";

const policy = [sink(4), rolling(28)];
const greedy = { temperature: 0, ignoreEndOfText: true, maxTokens: 40 } as const;
const text =
	"The harbour was quiet when the clockmaker came home, and so it stayed until the tide turned again.";
/** Of every run since the test began. */
let outputs: Float32Array[] = [];
const { model } = await openTinyModel({ runtime: withWatchedLogits(cpu({ threads: 1 })) });

/** Changes the runtime itself. */
function withWatchedLogits(runtime: Runtime): Runtime {
	const loadGraph = runtime.loadGraph.bind(runtime);
	return Object.assign(runtime, {
		loadGraph: async (...values: Parameters<Runtime["loadGraph"]>) => {
			const graph = await loadGraph(...values);
			const run = graph.run.bind(graph);
			return Object.assign(graph, {
				run: async (...given: Parameters<typeof run>) => {
					const results = await run(...given);
					const { data } = results.logits as { data: Float32Array };
					if (data.length > 0) outputs.push(data);
					return results;
				},
			});
		},
	});
}

beforeEach(() => {
	outputs = [];
});

function expectFreed(atLeast: number): void {
	expect(outputs.length).toBeGreaterThanOrEqual(atLeast);
	expect(outputs.filter(({ length }) => length > 0)).toEqual([]);
}

test.each([0, 8])("of a generation with %i guesses", async (speculate) => {
	using session = model.createSession({ policy });
	await collect(session.generate({ ...greedy, prompt: text, speculate }));
	expectFreed(10);
});

test("of a generation that is broken off", async () => {
	using session = model.createSession({ policy });
	for await (const _ of session.generate({ ...greedy, prompt: text, speculate: 8 })) break;
	expectFreed(1);
});

test("of a batch, whose sessions share a run", async () => {
	using batch = model.createBatch({ policy, size: 3 });
	const sessions = ["Once", "A", "Nobody"].map((prompt) => ({ session: batch.createSession(), prompt }));
	await Promise.all(
		sessions.map(({ session, prompt }, i) =>
			collect(session.generate({ ...greedy, prompt, maxTokens: 20 + 10 * i })),
		),
	);
	expectFreed(40);
});

test("of scores and of likelihoods", async () => {
	using session = model.createSession({ policy });
	await session.score(text);
	await session.score(text);
	await model.negativeLogLikelihoods(model.tokenizer.encode(text), { policy });
	expectFreed(3);
});

test("a fork goes on from logits of its own", async () => {
	using session = model.createSession({ policy });
	await session.append(text);
	using fork = session.fork();
	const first = await collect(session.generate(greedy));
	const second = await collect(fork.generate(greedy));
	expect(second.yielded.map(({ id }) => id)).toEqual(first.yielded.map(({ id }) => id));
});
