export { type BlockBootstrapOptions, blockInterval } from "./block-bootstrap.ts";
export {
	type ComparePerplexityOptions,
	comparePerplexity,
	type PerplexityDifference,
	type PerplexityResult,
} from "./compare-perplexity.ts";
export type {
	Answer,
	EvaluationOptions,
	EvaluationProgress,
	Interval,
	Recall,
	RunOptions,
	Score,
} from "./evaluation.ts";
export {
	type HeadRanking,
	type MemoryHeadsOptions,
	type RankedHead,
	rankMemoryHeads,
} from "./memory-heads.ts";
export { type NeedleOptions, type NeedleResult, needle } from "./needle.ts";
export { wilsonInterval } from "./score.ts";
export { type StreamEvalOptions, type StreamEvalResult, streamEval } from "./stream-eval.ts";
