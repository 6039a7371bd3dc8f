/// <reference types="vite/client" />
/** The README's example takes the GPU, and WebAssembly where there is none. */
import type { Runtime } from "@tok/runtime";
import { expect, test, vi } from "vitest";
import readme from "../README.md?raw";
import * as gpu from "./index.ts";
import * as wasm from "./wasm.ts";

const AsyncFunction: FunctionConstructor = Object.getPrototypeOf(async () => {}).constructor;

/** What the example hands to loadModel, and what it warns of. */
async function example(): Promise<{ readonly runtime: Runtime; readonly warned: readonly string[] }> {
	const source = /```ts\n(.*?)```/s.exec(readme)?.[1] ?? "";
	const warned: string[] = [];
	const modules = {
		"@tok/lm": { loadModel: async (_: string, { runtime }: { runtime: Runtime }) => runtime },
		"@tok/runtime-webgpu": gpu,
		"@tok/runtime-webgpu/wasm": wasm,
	};
	const body = source.replace(/^import (\{.*\}) from (".*");$/gm, "const $1 = modules[$2];");
	const console = { warn: (message: string) => warned.push(message) };
	const runtime: Runtime = await new AsyncFunction("modules", "console", `${body}; return model;`)(
		modules,
		console,
	);
	return { runtime, warned };
}

test("with a GPU", async () => {
	const { runtime, warned } = await example();
	expect([runtime.name, warned]).toEqual(["webgpu", []]);
	await runtime.dispose();
});

test("without", async () => {
	vi.spyOn(navigator.gpu, "requestAdapter").mockResolvedValue(null);
	const { runtime, warned } = await example();
	expect(runtime.name).toBe("wasm");
	expect(warned).toEqual([
		expect.stringContaining("expected a GPU that the browser lets pages use, got none."),
	]);
	expect(readme).toContain("expected a GPU that the browser lets pages use, got none.");
	await runtime.dispose();
	vi.restoreAllMocks();
});

test.each([0, -1, 0.5, Number.NaN])("a memory limit of %d is an error of either", async (memoryLimit) => {
	for (const [create, name] of [
		[gpu.webgpu, "webgpu"],
		[wasm.wasm, "wasm"],
	] as const)
		await expect(create({ memoryLimit })).rejects.toThrow(
			`[tok/runtime-${name}] memoryLimit: expected bytes, an integer ≥ 1, got ${memoryLimit}.`,
		);
});

test.each([0, 1.5, 65])("%d threads are an error", async (threads) => {
	await expect(wasm.wasm({ threads })).rejects.toThrow("threads: expected an integer from 1 to 64");
});

test.each([
	[true, "that is isolated and has no SharedArrayBuffer. Leave threads out."],
	[false, "that is not cross-origin isolated. Serve it with COOP same-origin"],
])("threads without memory to share are an error that says why (isolated: %s)", async (isolated, why) => {
	vi.stubGlobal("SharedArrayBuffer", undefined);
	vi.stubGlobal("crossOriginIsolated", isolated);
	try {
		await expect(wasm.wasm({ threads: 2 })).rejects.toThrow(
			`[tok/runtime-wasm] threads: expected a page that can share memory for 2 threads, got one ${why}`,
		);
	} finally {
		vi.unstubAllGlobals();
	}
});
