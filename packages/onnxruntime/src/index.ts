/**
 * What tok's runtimes on onnxruntime share: graph sessions that check their inputs, and key/value stores that keep the
 * rules of `@tok/runtime` over buffers in any memory. A runtime brings its onnxruntime, and a memory.
 */
export { type GraphContext, OnnxGraphSession } from "./graph-session.ts";
export { type HostMemoryOptions, hostMemory } from "./host/host-segment.ts";
export type { BlockSource, DiskBlocks } from "./host/slab.ts";
export type { BufferFile, FreshRows, Geometry, SegmentBuffers, SegmentMemory } from "./kv/segment.ts";
export { checkMemoryLimit } from "./resources.ts";
export { OnnxRuntime, type OnnxRuntimeOptions } from "./runtime.ts";
export { hostTransfers, type TensorClass, type Transfers } from "./transfers.ts";
