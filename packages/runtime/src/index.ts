export { TokError } from "./errors.ts";
export { freeArray } from "./free-array.ts";
export { headCount, kvDiskSlotBytes, kvParts, kvSlotBytes } from "./kv-shape.ts";
export type {
	Arithmetic,
	BlockProducts,
	DType,
	GraphFile,
	GraphSession,
	KvBank,
	KvFormat,
	KvKind,
	KvPart,
	KvPlaces,
	KvShape,
	KvStore,
	KvWrite,
	LoadOptions,
	RunOptions,
	Runtime,
	Tensor,
	TypedArrays,
} from "./runtime.ts";
export { kvNames, largestCode } from "./runtime.ts";
