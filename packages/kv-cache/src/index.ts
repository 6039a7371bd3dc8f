export {
	type CacheOptions,
	createCache,
	type KvCache,
	type PlanOptions,
	restoreCache,
} from "./cache.ts";
export type { Positions } from "./cascade.ts";
export { type Exchange, leastRecalled, type Recalled } from "./eviction.ts";
export { freshMask, MASKED, type MaskOptions, segmentMask } from "./mask.ts";
export type { FreshView, Plan, Range, SegmentView, Transfer, Write } from "./plan.ts";
export { formatPolicy, type Policy, parsePolicy } from "./policy.ts";
export { type CompressiveOptions, compressive, type MemoryOptions, memory } from "./receivers.ts";
export type { ChosenBy, Eviction, Grouping, Segment } from "./segment.ts";
export { dense, type RollingOptions, recompute, rolling, sink } from "./segments.ts";
export type { CacheSnapshot } from "./snapshot.ts";
export { fullSlots } from "./state.ts";
