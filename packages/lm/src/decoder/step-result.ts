/** What a run of the decoder's graph gives besides fresh keys and values, and one session's part of a batch's. */
import { freeArray, type Tensor } from "@tok/runtime";
import type { FallenAttention } from "./attention-mass.ts";
import {
	ATTENTION,
	ATTENTION_RECALLING,
	LOGITS,
	MASS_CACHED,
	MASS_FRESH,
	RECALLED_BLOCKS,
	RECALLED_MASS,
} from "./decoder-inputs.ts";
import type { Recalled } from "./recall-tally.ts";

export interface StepResult {
	readonly logits: Float32Array; // [logitRows, vocabulary]
	/** The logits are not needed any more: frees their memory. Once. */
	release(): void;
	/** Of all rows of the batch, one after the other; undefined without an archive. */
	readonly recalled: Recalled | undefined;
	/** Of all rows of the batch; undefined where the graph does not report it. */
	readonly fallen: FallenAttention | undefined;
	/** What the graph told of it; absent in what is one session's of a batch. */
	readonly attention?: Attended;
}

/** Softmax weights of some tokens of a run, from a graph that tells of attention; see `ATTENTION`. */
export interface Attended {
	readonly plain: Float32Array | undefined;
	readonly recalling: Float32Array | undefined;
}

/** Of a run that was not needed. */
export const NO_RESULT: StepResult = {
	logits: new Float32Array(0),
	release: () => {},
	recalled: undefined,
	fallen: undefined,
};

export function stepResult(outputs: Readonly<Record<string, Tensor>>): StepResult {
	const blocks = outputs[RECALLED_BLOCKS]?.data as Int32Array | undefined;
	const mass = outputs[RECALLED_MASS]?.data as Float32Array | undefined;
	const logits = outputs[LOGITS]?.data as Float32Array;
	const plain = outputs[ATTENTION]?.data as Float32Array | undefined;
	const recalling = outputs[ATTENTION_RECALLING]?.data as Float32Array | undefined;
	const told = plain !== undefined || recalling !== undefined;
	const cached = outputs[MASS_CACHED]?.data as Float32Array | undefined;
	const fresh = outputs[MASS_FRESH]?.data as Float32Array | undefined;
	return {
		logits,
		release: () => freeArray(logits),
		recalled: blocks && mass && { blocks, mass },
		...(told && { attention: { plain, recalling } }),
		fallen: cached && fresh && { cached, fresh },
	};
}

/**
 * The parts of a batch's result, row by row. The logits' memory is freed when every row that has some has released its
 * own.
 *
 * @param logitRows Rows whose logits were wanted, in their order.
 */
export function rowsOf(
	{ logits, release, recalled, fallen }: StepResult,
	rows: number,
	logitRows: readonly number[],
): (row: number) => StepResult {
	const part = <T extends Float32Array | Int32Array>(data: T, count: number, index: number): T => {
		const width = data.length / count;
		return data.subarray(index * width, (index + 1) * width) as T;
	};
	let inUse = logitRows.length;
	return (row) => {
		const logitRow = logitRows.indexOf(row);
		return {
			...NO_RESULT,
			...(logitRow >= 0 && {
				logits: part(logits, logitRows.length, logitRow),
				release() {
					if (--inUse === 0) release();
				},
			}),
			recalled: recalled && {
				blocks: part(recalled.blocks, rows, row),
				mass: part(recalled.mass, rows, row),
			},
			fallen: fallen && {
				cached: part(fallen.cached, rows, row),
				fresh: part(fallen.fresh, rows, row),
			},
		};
	};
}
