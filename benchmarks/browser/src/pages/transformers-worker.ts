/**
 * transformers.js's side: its own loop over an export of the same weights, on its WebAssembly or WebGPU, with a cache that grows.
 * Nothing is kept for a second visit, on any side.
 */
import { AutoModelForCausalLM, env, type PreTrainedModel, Tensor } from "@huggingface/transformers";
import { type Engine, KEPT } from "../engine.ts";
import { paths } from "../sides.ts";
import { serve } from "./remote.ts";

type Dtype = "fp32" | "q8";

serve((setting, backend): Engine => {
	let model: PreTrainedModel;

	/** The time of each token's choice, and its id. */
	async function generate(ids: readonly number[], tokens: number): Promise<[time: number, id: number][]> {
		const dims = [1, ids.length];
		const chosen: [number, number][] = [];
		let prompt = true;
		await model.generate({
			input_ids: new Tensor("int64", BigInt64Array.from(ids, BigInt), dims),
			attention_mask: new Tensor("int64", new BigInt64Array(ids.length).fill(1n), dims),
			max_new_tokens: tokens,
			do_sample: false,
			streamer: {
				put(values: bigint[][]) {
					if (!prompt) chosen.push([performance.now(), Number(values[0]?.[0])]);
					prompt = false;
				},
				end() {},
			},
		} as unknown as Parameters<PreTrainedModel["generate"]>[0]);
		return chosen;
	}

	return {
		async load({ threads }) {
			env.allowRemoteModels = false;
			env.allowLocalModels = true;
			env.localModelPath = "/";
			env.useBrowserCache = false;
			env.useWasmCache = false;
			const files = new URL(paths.transformersOrt, location.href).href;
			const wasm = env.backends.onnx.wasm;
			if (wasm === undefined) throw new Error("expected transformers.js to have WebAssembly, got none");
			wasm.numThreads = threads;
			wasm.wasmPaths = {
				mjs: `${files}ort-wasm-simd-threaded.asyncify.mjs`,
				wasm: `${files}ort-wasm-simd-threaded.asyncify.wasm`,
			};
			model = await AutoModelForCausalLM.from_pretrained(paths.exported.replaceAll("/", ""), {
				device: backend,
				dtype: setting as Dtype,
			});
			return `transformers.js ${env.version}, ${setting}, ${backend === "webgpu" ? "on WebGPU" : `${threads} threads`}`;
		},
		async read({ ids }) {
			const begun = performance.now();
			await generate(ids, 1);
			return performance.now() - begun;
		},
		async write({ ids }, steps) {
			const chosen = await generate(ids, steps + 1);
			const times = chosen.slice(1).map(([time], i) => time - (chosen[i] as [number, number])[0]);
			return { times, ids: chosen.slice(0, KEPT).map(([, id]) => id) };
		},
	};
});
