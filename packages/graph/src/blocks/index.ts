export {
	type AttentionOptions,
	type AttentionOutput,
	type AttentionWeights,
	attention,
	type CachedSegment,
	type Rotation,
} from "./attention.ts";
export type { Coded, Stored } from "./coded.ts";
export { embedding } from "./embedding.ts";
export { type ExpertsOptions, type ExpertWeight, experts } from "./experts.ts";
export { type BlockWeight, type DenseWeight, type LinearWeight, linear } from "./linear.ts";
export { type GatedMlpOptions, gatedMlp } from "./mlp.ts";
export { rmsNorm } from "./norm.ts";
export type { KeptChoices, RecallChoices, RecalledSegment, Traces } from "./recall.ts";
