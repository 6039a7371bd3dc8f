/** The real model in a browser, held to goldens/smollm2 at the tolerances of its README. */
/// <reference types="vite/client" />
import { parsePolicy } from "@tok/kv-cache";
import { wasm } from "@tok/runtime-webgpu/wasm";
import { expect, inject, test } from "vitest";
import likelihoodsUrl from "../../../goldens/smollm2/policy_4_252.nll.f32?url";
import tokensUrl from "../../../goldens/smollm2/tokens.i32?url";
import { loadModel } from "./load-model.ts";

const TOKENS = 1000;
const url = inject("model");

async function bytes(from: string): Promise<ArrayBuffer> {
	return (await fetch(from)).arrayBuffer();
}

// Without TOK_MODELS there is no file that the tests' server could hand out.
test.skipIf(url === undefined)(
	"(needs SmolLM2-135M-Instruct.Q4_1.gguf below TOK_MODELS) 1,000 tokens over sinks and a window on wasm, as transformers computed them",
	async () => {
		const file = new File([await (await fetch(url as string)).blob()], "model.gguf");
		await using runtime = await wasm();
		await using model = await loadModel(file, { runtime, precision: "exact" });
		const ids = new Int32Array(await bytes(tokensUrl)).subarray(0, TOKENS);
		const golden = new Float32Array(await bytes(likelihoodsUrl));
		const got = await model.negativeLogLikelihoods(ids, { policy: parsePolicy("sink:4,rolling:252") });
		const differences = got.map((x, i) => Math.abs(x - (golden[i] as number)));
		const mean = differences.reduce((sum, x) => sum + x, 0) / differences.length;
		expect(got.length).toBe(TOKENS - 1);
		expect(Math.max(...differences)).toBeLessThanOrEqual(2e-3);
		expect(mean).toBeLessThanOrEqual(1e-4);
	},
	180_000,
);
