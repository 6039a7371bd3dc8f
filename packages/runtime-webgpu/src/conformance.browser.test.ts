/** The suite that every runtime passes, in a real browser: rules of packages/runtime/SPEC.md. */
import { conformance } from "@tok/runtime/conformance";
import { describe, expect, test } from "vitest";
import { webgpu } from "./index.ts";
import { wasm } from "./wasm.ts";
import { requestAdapter, requestDevice, runtimeOn, type WebGpuRuntime } from "./webgpu.ts";

describe("webgpu", () => {
	test.each(conformance)("$id: $title", ({ run }) => run(() => webgpu()));
});

/** Stores in half precision ask nothing of a device that not every device has. */
async function halfStores(): Promise<WebGpuRuntime> {
	const adapter = await requestAdapter();
	return runtimeOn({ adapter, device: await requestDevice(adapter) }, {}, true);
}

describe("webgpu in half precision", () => {
	test("where the device has it, and an error where it is asked for and not there", async () => {
		const can = (await requestAdapter()).features.has("shader-f16");
		await using runtime = await webgpu();
		expect([runtime.arithmetic, runtime.adapter.half]).toEqual([can ? "float16" : "float32", can]);
		await using without = await webgpu({ half: false });
		expect(without.kvFormats).toEqual(["float32"]);
		const asked = webgpu({ half: true });
		if (can) await (await asked).dispose();
		else await expect(asked).rejects.toThrow("half: expected a GPU that computes in float16");
	});

	const ofStores = conformance.filter(({ id }) => id.startsWith("R10"));
	test.each(ofStores)("$id: $title", ({ run }) => run(halfStores));
});

describe("wasm", () => {
	test.each(conformance)("$id: $title", ({ run }) => run(() => wasm()));
});
