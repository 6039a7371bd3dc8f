export { type WebGpuAdapter, type WebGpuOptions, type WebGpuRuntime, webgpu } from "./webgpu.ts";
