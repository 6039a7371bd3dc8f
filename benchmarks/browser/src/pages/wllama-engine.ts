/**
 * wllama's side: llama.cpp in WebAssembly, in a worker of its own, on the processor. `growing` has a context that holds
 * the whole measurement, and so has `Q8_0` with the weights in that type; `shifting` the smallest that takes tok's
 * prompts: when it is full it drops half of what lies behind as many first tokens as tok keeps.
 */
import { Wllama } from "@wllama/wllama";
import type { Engine, Prompt } from "../engine.ts";
import { paths, SINKS } from "../sides.ts";

const GROWING = 2048;
/** llama.cpp takes no prompt as long as its context, and contexts in steps of 256. */
const SHIFTING = 512;

export function openWllama(setting: string): Engine {
	const wllama = new Wllama({ default: paths.wllama }, { suppressNativeLog: true });
	const shifting = setting === "shifting";

	/** When each chunk came, of which there is one a token. */
	async function complete({ ids, text }: Prompt, tokens: number): Promise<number[]> {
		const times: number[] = [];
		let read: number | undefined;
		await wllama.createCompletion({
			prompt: text,
			max_tokens: tokens,
			temperature: 0,
			ignore_eos: true,
			stream: true,
			// Of the server below, of which the types do not know: nothing of the last prompt is used again.
			...{ cache_prompt: false },
			onData: ({ choices, timings }) => {
				read = timings?.prompt_n ?? read;
				if (choices[0]?.finish_reason === null) times.push(performance.now());
			},
		});
		if (read !== ids.length || times.length !== tokens)
			throw new Error(
				`wllama: expected ${ids.length} tokens read and ${tokens} chunks, got ${read} and ${times.length}`,
			);
		return times;
	}

	return {
		async load({ threads }) {
			const blob = await (await fetch(setting === "Q8_0" ? paths.quantized : paths.model)).blob();
			await wllama.loadModel([blob], {
				n_ctx: shifting ? SHIFTING : GROWING,
				n_threads: threads,
				n_gpu_layers: 0,
				n_parallel: 1,
				...(shifting && { ctx_shift: true, n_keep: SINKS }),
			});
			const context = wllama.getLoadedContextInfo().n_ctx;
			return `wllama with llama.cpp ${Wllama.getLibllamaVersion()}, ${wllama.getNumThreads()} threads, context of ${context}${shifting ? " that shifts" : ""}, float16 cache`;
		},
		async read(prompt) {
			const begun = performance.now();
			await complete(prompt, 1);
			return performance.now() - begun;
		},
		async write(prompt, steps) {
			const times = await complete(prompt, steps + 1);
			return { times: times.slice(1).map((time, i) => time - (times[i] as number)), ids: [] };
		},
	};
}
