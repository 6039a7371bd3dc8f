/** Which backend is used, and what is said of those that are not. */
import type { Runtime } from "@tok/runtime";
import { describe, expect, test } from "vitest";
import {
	type Backend,
	type BackendName,
	type GpuLike,
	offerWasm,
	offerWebGpu,
	pickRuntime,
} from "./pick-runtime.ts";

function backend(
	name: BackendName,
	{ refusal, slow = false, fails }: { refusal?: string; slow?: boolean; fails?: string } = {},
): Backend {
	return {
		name,
		offer: async () => ({ name, label: name, refusal, slow }),
		open: async () => {
			if (fails !== undefined) throw new Error(fails);
			return { name } as Runtime;
		},
	};
}

describe("pickRuntime", () => {
	test("takes the first that can be had, and the preferred one before", async () => {
		expect((await pickRuntime([backend("webgpu"), backend("wasm")])).name).toBe("webgpu");
		expect((await pickRuntime([backend("webgpu"), backend("wasm")], { prefer: "wasm" })).name).toBe("wasm");
	});

	test("leaves a GPU in software for last, unless it is asked for", async () => {
		const both = [backend("webgpu", { slow: true }), backend("wasm")];
		expect((await pickRuntime(both)).name).toBe("wasm");
		expect((await pickRuntime(both, { prefer: "webgpu" })).name).toBe("webgpu");
	});

	test("says why others were not taken, and rejects with all reasons", async () => {
		const refused = backend("webgpu", { refusal: "no adapter." });
		expect(await pickRuntime([refused, backend("wasm")])).toMatchObject({
			name: "wasm",
			refusals: ["webgpu: no adapter."],
		});
		await expect(pickRuntime([refused, backend("wasm", { fails: "no memory" })])).rejects.toThrow(
			"No backend can be had. webgpu: no adapter. wasm: no memory",
		);
	});
});

describe("what a browser offers", () => {
	const gpu = (largest: number, description = "a card", features: readonly string[] = []): GpuLike => ({
		requestAdapter: async () => ({
			info: { vendor: "", architecture: "", description },
			features: new Set(features),
			limits: { maxBufferSize: largest, maxStorageBufferBindingSize: largest },
		}),
	});

	test("no WebGPU, an insecure page, no adapter, small buffers, a GPU, one in software", async () => {
		expect((await offerWebGpu(undefined, true)).refusal).toContain("no navigator.gpu");
		expect((await offerWebGpu(undefined, false)).refusal).toContain("not secure");
		expect((await offerWebGpu({ requestAdapter: async () => null }, true)).refusal).toContain("no adapter");
		expect((await offerWebGpu(gpu(2 ** 20), true)).refusal).toContain("1 MiB");
		expect(await offerWebGpu(gpu(2 ** 30), true)).toMatchObject({
			label: "a card, no half precision (no shader-f16)",
			refusal: undefined,
			slow: false,
		});
		expect((await offerWebGpu(gpu(2 ** 30, "a card", ["shader-f16"]), true)).label).toBe(
			"a card, fast in half precision",
		);
		expect((await offerWebGpu(gpu(2 ** 30, "SwiftShader"), true)).slow).toBe(true);
	});

	test("threads where the page is isolated", () => {
		expect(offerWasm(8, true).label).toBe("up to 4 threads");
		expect(offerWasm(8, false).label).toContain("1 thread");
	});
});
