/** The real model in a browser, held to goldens/smollm2 at the tolerances of its README. */
/// <reference types="vite/client" />
import { parsePolicy } from "@tok/kv-cache";
import { webgpu } from "@tok/runtime-webgpu";
import { wasm } from "@tok/runtime-webgpu/wasm";
import { expect, inject, test } from "vitest";
import likelihoodsUrl from "../../../goldens/smollm2/policy_4_252.nll.f32?url";
import tokensUrl from "../../../goldens/smollm2/tokens.i32?url";
import { loadModel } from "./load-model.ts";

const url = inject("model");

async function bytes(from: string): Promise<ArrayBuffer> {
	return (await fetch(from)).arrayBuffer();
}

// Where the GPU is software, a run takes ten seconds.
const backends = [
	{ name: "wasm", create: wasm, tokens: 1000, chunk: 128 },
	{ name: "webgpu", create: webgpu, tokens: 18, chunk: 16 },
] as const;

// Without TOK_MODELS there is no file that the tests' server could hand out.
test.skipIf(url === undefined).each(backends)(
	"(needs SmolLM2-135M-Instruct.Q4_1.gguf below TOK_MODELS) $tokens tokens over sinks and a window on $name, as transformers computed them",
	async ({ create, tokens, chunk }) => {
		const file = new File([await (await fetch(url as string)).blob()], "model.gguf");
		await using runtime = await create();
		await using model = await loadModel(file, { runtime, precision: "exact" });
		const ids = new Int32Array(await bytes(tokensUrl)).subarray(0, tokens);
		const golden = new Float32Array(await bytes(likelihoodsUrl));
		const got = await model.negativeLogLikelihoods(ids, { policy: parsePolicy("sink:4,rolling:252"), chunk });
		const differences = got.map((x, i) => Math.abs(x - (golden[i] as number)));
		const mean = differences.reduce((sum, x) => sum + x, 0) / differences.length;
		expect(got.length).toBe(tokens - 1);
		expect(Math.max(...differences)).toBeLessThanOrEqual(2e-3);
		expect(mean).toBeLessThanOrEqual(1e-4);
	},
	180_000,
);
