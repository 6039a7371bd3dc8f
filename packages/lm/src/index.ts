export { TokError } from "@tok/runtime";
export type { Compressor, CompressorGroup, CompressorShape } from "./decoder/compressors.ts";
export { type Convolution, type ConvolutionStacks, convCompressor } from "./decoder/conv-compressor.ts";
export { type InspectOptions, inspectModel, type ModelReport, type PolicyCost } from "./inspect-model.ts";
export { loadModel } from "./load-model.ts";
export { loadTokenizer } from "./load-tokenizer.ts";
export type {
	AppendOptions,
	ArchiveFileOptions,
	ArchiveFormat,
	ArchiveInfo,
	ArchiveReport,
	AttendedEntry,
	Batch,
	BatchOptions,
	FinishReason,
	GeneratedToken,
	GenerateOptions,
	GenerationResult,
	LikelihoodOptions,
	LoadModelOptions,
	MemoryHeads,
	Model,
	ModelInfo,
	Precision,
	Progress,
	RecalledPassage,
	RestoreOptions,
	SaveArchiveOptions,
	SaveOptions,
	Session,
	SessionInfo,
	SessionOptions,
	SessionStats,
	SpeculationCounts,
	TokenAttention,
	WriteTarget,
} from "./model.ts";
export type { ModelSource } from "./model-files.ts";
export {
	type QuantizeOptions,
	type QuantizeReport,
	type QuantizeType,
	quantizeModel,
	quantizeTypes,
} from "./quantize-model.ts";
export { cacheFolder } from "./resolve/cache-folder.ts";
export { knownMemoryHeads } from "./resolve/known-memory-heads.ts";
export { type KnownModel, knownModels } from "./resolve/known-models.ts";
export type { ModelFormat } from "./resolve/model-format.ts";
export { type ResolvedModel, type ResolveOptions, resolveModel } from "./resolve/resolve-model.ts";
export { removeStoredModel, type StoredModel, storedModels } from "./resolve/stored-models.ts";
export type { Sampling } from "./sampling/sampling.ts";
export { inspectArchive } from "./session/archive-file.ts";
export { inspectSession } from "./session/session-file.ts";
export type { ChatMessage, ChatTemplate, NextTurns, RenderOptions } from "./text/chat-template.ts";
export type { Detokenizer, DetokenizerOptions } from "./text/detokenizer.ts";
export type { DecodeOptions, EncodeOptions, Tokenizer } from "./text/tokenizer.ts";
