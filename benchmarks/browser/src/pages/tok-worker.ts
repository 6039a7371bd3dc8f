/** tok's side: WebAssembly, `sink:4,rolling:252`. */
import { rolling, sink } from "@tok/kv-cache";
import { type GenerateOptions, loadModel, type Model, type Precision } from "@tok/lm";
import { wasm } from "@tok/runtime-webgpu/wasm";
import { type Engine, KEPT } from "../engine.ts";
import { paths, SINKS, WINDOW } from "../sides.ts";
import { serve } from "./remote.ts";

const policy = [sink(SINKS), rolling(WINDOW - SINKS)];
const greedy: GenerateOptions = { temperature: 0, ignoreEndOfText: true };

serve((setting): Engine => {
	let model: Model;
	return {
		async load({ threads }) {
			const file = new File([await (await fetch(paths.model)).blob()], "model.gguf");
			const runtime = await wasm({ threads, files: new URL(paths.tokOrt, location.href).href });
			model = await loadModel(file, { runtime, precision: setting as Precision });
			await model.prepare(policy);
			const products = runtime.blockProducts ?? "float32 weights";
			return `tok, ${setting}, ${setting === "exact" ? "float32" : products}, float32 cache`;
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
