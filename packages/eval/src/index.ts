export type {
	Answer,
	EvaluationOptions,
	EvaluationProgress,
	Interval,
	RunOptions,
	Score,
} from "./evaluation.ts";
export { type NeedleOptions, type NeedleResult, needle } from "./needle.ts";
export { wilsonInterval } from "./score.ts";
