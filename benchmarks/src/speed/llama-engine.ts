/**
 * llama.cpp's side, through node-llama-cpp's own binary for this processor: flash attention, float16 cache, all of
 * which are its defaults or better. Its context never shifts here: reading back half a window after it has filled
 * is a cost of another kind.
 */
import {
	getLlama,
	type LlamaContext,
	type LlamaContextSequence,
	LlamaLogLevel,
	type Token,
} from "node-llama-cpp";
import type { Engine, EngineOptions } from "./engine.ts";

const WARM_UP = 8;
/** Most tokens of one graph call: its default for contexts this long. */
const BATCH = 512;
const greedy = { temperature: 0, yieldEogToken: true } as const;

export async function openLlama({ path, threads }: EngineOptions): Promise<Engine> {
	const llama = await getLlama({
		gpu: false,
		build: "never",
		maxThreads: threads,
		logLevel: LlamaLogLevel.error,
	});
	const model = await llama.loadModel({ modelPath: path });
	const contexts = new Map<number, { context: LlamaContext; sequence: LlamaContextSequence }>();

	async function emptySequence(window: number): Promise<LlamaContextSequence> {
		let open = contexts.get(window);
		if (open === undefined) {
			const context = await model.createContext({
				// One entry more than is ever read, so that nothing is shifted out.
				contextSize: window + 1,
				batchSize: BATCH,
				threads,
				flashAttention: true,
			});
			open = { context, sequence: context.getSequence() };
			contexts.set(window, open);
		}
		await open.sequence.clearHistory();
		return open.sequence;
	}

	const { repo, release } = llama.llamaCppRelease;
	return {
		description: `node-llama-cpp with ${repo} ${release}, flash attention, float16 cache`,
		async prefill(ids, window) {
			const sequence = await emptySequence(window);
			const begun = performance.now();
			for await (const _ of sequence.evaluate(ids as Token[], greedy)) break;
			return performance.now() - begun;
		},
		/** Begins `steps` tokens short of the window and ends with a full one: no step attends to more than `window`. */
		async decode(ids, window, steps) {
			const sequence = await emptySequence(window);
			const times: number[] = [];
			const prompt = ids.slice(0, window - steps - WARM_UP) as Token[];
			let begun = performance.now();
			for await (const _ of sequence.evaluate(prompt, greedy)) {
				const now = performance.now();
				times.push(now - begun);
				begun = now;
				if (times.length === WARM_UP + steps) break;
			}
			return times.slice(WARM_UP);
		},
		/** One context with a sequence for each stream, which it batches by itself. */
		async decodeTogether(ids, { window, streams, steps }) {
			const context = await model.createContext({
				contextSize: window + 1,
				batchSize: BATCH,
				sequences: streams,
				threads,
				flashAttention: true,
			});
			try {
				const prompt = window - steps - WARM_UP - 1;
				const evaluations = Array.from({ length: streams }, (_, i) =>
					context.getSequence().evaluate(ids.slice(i, i + prompt) as Token[], greedy),
				);
				const generate = (count: number): Promise<unknown> =>
					Promise.all(
						evaluations.map(async (evaluation) => {
							for (let i = 0; i < count; i++) await evaluation.next();
						}),
					);
				await generate(WARM_UP);
				const begun = performance.now();
				await generate(steps);
				const milliseconds = performance.now() - begun;
				for (const evaluation of evaluations) await evaluation.return();
				return milliseconds;
			} finally {
				await context.dispose();
			}
		},
		async dispose() {
			await llama.dispose();
		},
	};
}
