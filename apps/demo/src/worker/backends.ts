/** The backends of this app. Each is fetched when it is opened: onnxruntime's files are large. */
import { type Backend, offerWasm, offerWebGpu } from "../lib/pick-runtime.ts";

export const backends: readonly Backend[] = [
	{
		name: "webgpu",
		offer: () => offerWebGpu(navigator.gpu, isSecureContext),
		open: async () => (await import("@tok/runtime-webgpu")).webgpu(),
	},
	{
		name: "wasm",
		offer: async () => offerWasm(navigator.hardwareConcurrency, canShareMemory()),
		open: async () => (await import("@tok/runtime-webgpu/wasm")).wasm(),
	},
];

/** There are workers that WebKit calls isolated and gives no memory to share. */
function canShareMemory(): boolean {
	return crossOriginIsolated && typeof SharedArrayBuffer !== "undefined";
}
