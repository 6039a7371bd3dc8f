/** The suite that every runtime passes, in a real browser: rules of packages/runtime/SPEC.md. */
import { conformance } from "@tok/runtime/conformance";
import { describe, test } from "vitest";
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
	const ofStores = conformance.filter(({ id }) => id.startsWith("R10"));
	test.each(ofStores)("$id: $title", ({ run }) => run(halfStores));
});

describe("wasm", () => {
	test.each(conformance)("$id: $title", ({ run }) => run(() => wasm()));
});
