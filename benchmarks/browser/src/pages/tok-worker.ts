/** tok's side: WebAssembly or WebGPU, `sink:4,rolling:252`. */
import { rolling, sink } from "@tok/kv-cache";
import { type GenerateOptions, loadModel, type Model, type Precision } from "@tok/lm";
import { webgpu } from "@tok/runtime-webgpu";
import { wasm } from "@tok/runtime-webgpu/wasm";
import { type Engine, KEPT } from "../engine.ts";
import { paths, SINKS, WINDOW } from "../sides.ts";
import { serve } from "./remote.ts";

const policy = [sink(SINKS), rolling(WINDOW - SINKS)];
const greedy: GenerateOptions = { temperature: 0, ignoreEndOfText: true };

serve((setting, backend): Engine => {
	let model: Model;
	return {
		async load({ threads }) {
			const file = new File([await (await fetch(paths.model)).blob()], "model.gguf");
			const files = new URL(paths.tokOrt, location.href).href;
			const runtime = backend === "webgpu" ? await webgpu({ files }) : await wasm({ threads, files });
			model = await loadModel(file, { runtime, precision: setting as Precision });
			await model.prepare(policy);
			const numbers = setting === "fast" ? runtime.arithmetic : "float32";
			return `tok, ${setting}, on ${runtime.name}, computing in ${numbers}`;
		},
		async read({ ids }) {
			using session = model.createSession({ policy });
			const begun = performance.now();
			for await (const _ of session.generate({ ...greedy, prompt: ids, maxTokens: 1 }));
			return performance.now() - begun;
		},
		async write({ ids }, steps) {
			using session = model.createSession({ policy });
			const times: number[] = [];
			const chosen: number[] = [];
			let begun = 0;
			for await (const { id } of session.generate({ ...greedy, prompt: ids, maxTokens: steps + 1 })) {
				const now = performance.now();
				if (begun > 0) times.push(now - begun);
				begun = now;
				if (chosen.length < KEPT) chosen.push(id);
			}
			return { times, ids: chosen };
		},
	};
});
