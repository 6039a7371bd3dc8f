/**
 * Runs of one graph session that are alike – inputs in the same buffers, with the same dims, for the same outputs – are
 * recorded and then played. Decoding is such runs: token after token over one store.
 */
import type { Gpu } from "./gpu.ts";
import type { Recorder } from "./recorder.ts";
import { type Recording, recordingOf, type Tensors } from "./recording.ts";

/** What alike runs have in common: each input's buffer and then its dims, and names of outputs. */
type Likeness = readonly (GPUBuffer | number | string)[];

interface Kind {
	readonly likeness: Likeness;
	/** Runs so far. */
	times: number;
	/** Undefined before it is recorded, and where it cannot be. */
	recording?: Recording | undefined;
}

/** Alike runs after which the next one is recorded: fewer, such as of a prompt's chunks, would not pay for it. */
const ALIKE = 3;
/** Kinds of runs that are remembered, those that were run last. */
const MOST_KINDS = 32;

export class Replays {
	readonly #gpu: Gpu;
	readonly #recorder: Recorder;
	/** The latest first. */
	readonly #kinds: Kind[] = [];

	constructor(gpu: Gpu, recorder: Recorder) {
		this.#gpu = gpu;
		this.#recorder = recorder;
	}

	/** @param run does it in onnxruntime. */
	readonly run = async (
		inputs: Tensors,
		outputs: readonly string[],
		run: () => Promise<Tensors>,
	): Promise<Tensors> => {
		const likeness = likenessOf(inputs, outputs);
		if (likeness === undefined) return run();
		const kind = this.#kind(likeness);
		if (kind.recording !== undefined) return kind.recording.play();
		if (kind.times++ !== ALIKE) return run();
		const [result, dispatches] = await this.#recorder.record(run);
		kind.recording = recordingOf(this.#gpu, dispatches, result);
		return result;
	};

	dispose(): void {
		for (const { recording } of this.#kinds.splice(0)) recording?.dispose();
	}

	#kind(likeness: Likeness): Kind {
		const index = this.#kinds.findIndex(
			(kind) =>
				kind.likeness.length === likeness.length && likeness.every((each, i) => each === kind.likeness[i]),
		);
		if (index < 0) this.#dropDestroyed();
		const [kind = { likeness, times: 0 }] = index < 0 ? [] : this.#kinds.splice(index, 1);
		this.#kinds.unshift(kind);
		for (const { recording } of this.#kinds.splice(MOST_KINDS)) recording?.dispose();
		return kind;
	}

	/** Of stores that have grown, or were disposed: their buffers never come again. */
	#dropDestroyed(): void {
		const isGone = (each: Likeness[number]): boolean =>
			typeof each === "object" && this.#gpu.isDestroyed(each);
		for (let i = this.#kinds.length - 1; i >= 0; i--) {
			if (!this.#kinds[i]?.likeness.some(isGone)) continue;
			for (const { recording } of this.#kinds.splice(i, 1)) recording?.dispose();
		}
	}
}

/** Undefined when an input comes from the host, to a buffer of onnxruntime's. */
function likenessOf(inputs: Tensors, outputs: readonly string[]): Likeness | undefined {
	const likeness: (GPUBuffer | number | string)[] = [];
	for (const input of Object.values(inputs)) {
		if (input.location !== "gpu-buffer") return undefined;
		likeness.push(input.gpuBuffer as GPUBuffer, ...input.dims);
	}
	return [...likeness, ...outputs];
}
