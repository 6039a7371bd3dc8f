export { TokError } from "@tok/runtime";
export type {
	AppendOptions,
	FinishReason,
	GeneratedToken,
	GenerateOptions,
	GenerationResult,
	LikelihoodOptions,
	LoadModelOptions,
	Model,
	ModelInfo,
	Precision,
	Progress,
	RestoreOptions,
	Session,
	SessionOptions,
	SessionStats,
} from "./model.ts";
export { cacheFolder } from "./resolve/cache-folder.ts";
export { type KnownModel, knownModels } from "./resolve/known-models.ts";
export type { ModelFormat } from "./resolve/local-model.ts";
export { type ResolvedModel, type ResolveOptions, resolveModel } from "./resolve/resolve-model.ts";
