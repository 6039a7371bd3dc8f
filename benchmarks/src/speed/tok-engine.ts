/**
 * tok's side: `sink:4,rolling:N−4`, in the default precision of the file, with the default chunk, prepared graphs and
 * V8 as the command `tok` has them.
 */
import { setFlagsFromString } from "node:v8";
import { rolling, sink } from "@tok/kv-cache";
import { type GenerateOptions, loadModel, type Model, type Session } from "@tok/lm";
import { cpu } from "@tok/runtime-cpu";
import type { Engine, EngineOptions } from "./engine.ts";

const SINKS = 4;
/** Steps past the first dropped entry before the clock starts. */
const WARM_UP = 8;
const greedy: GenerateOptions = { temperature: 0, ignoreEndOfText: true };

export async function openTok({ model: name, threads, prepared }: EngineOptions): Promise<Engine> {
	setFlagsFromString("--semi-space-growth-factor=1");
	const runtime = cpu({ threads, prepared });
	const model = await loadModel(name, { runtime });
	return {
		description: `tok, precision ${model.info.precision}, cache in float32, in 8 bits from 512 slots on`,
		async prefill(ids, window) {
			using session = await openSession(model, window);
			const begun = performance.now();
			for await (const _ of session.generate({ ...greedy, prompt: ids, maxTokens: 1 }));
			return performance.now() - begun;
		},
		/** Reads `window` tokens, so that every timed step drops an entry. */
		async decode(ids, window, steps) {
			using session = await openSession(model, window);
			await session.append(ids.slice(0, window));
			const times: number[] = [];
			let begun = performance.now();
			for await (const _ of session.generate({ ...greedy, maxTokens: WARM_UP + steps })) {
				const now = performance.now();
				times.push(now - begun);
				begun = now;
			}
			return times.slice(WARM_UP);
		},
		async decodeTogether(ids, { window, streams, steps }) {
			const policy = [sink(SINKS), rolling(window - SINKS)];
			using batch = model.createBatch({ policy, size: streams });
			const sessions = Array.from({ length: streams }, () => batch.createSession());
			for (const [i, session] of sessions.entries()) await session.append(ids.slice(i, i + window));
			const generate = (maxTokens: number): Promise<unknown> =>
				Promise.all(
					sessions.map(async (session) => {
						for await (const _ of session.generate({ ...greedy, maxTokens }));
					}),
				);
			await generate(WARM_UP);
			const begun = performance.now();
			await generate(steps);
			return performance.now() - begun;
		},
		async dispose() {
			await model.dispose();
			await runtime.dispose();
		},
	};
}

async function openSession(model: Model, window: number): Promise<Session> {
	const policy = [sink(SINKS), rolling(window - SINKS)];
	await model.prepare(policy);
	return model.createSession({ policy });
}
