/**
 * Holds a decoder against logits that transformers computed: files with `input_ids` [streams, length] and `logits`
 * [streams, length, vocabulary]. The tolerance is goldens/README.md's for tiny models.
 */
import { dense, type Policy } from "@tok/kv-cache";
import type { DecoderEngine } from "../decoder/decoder-engine.ts";
import { DecoderState } from "../decoder/decoder-state.ts";
import type { TensorFile } from "../formats/tensor-file.ts";

const ATOL = 1e-4;
const RTOL = 1e-4;

export interface GoldenLogits {
	readonly streams: readonly (readonly number[])[];
	/** [streams, length, vocabulary] */
	readonly logits: Float32Array;
	readonly length: number;
	readonly vocabulary: number;
}

/** Reads io.safetensors, and closes it. Names default to "input_ids" and "logits". */
export function readGoldenLogits(
	io: TensorFile,
	{ ids = "input_ids", logits = "logits" }: { readonly ids?: string; readonly logits?: string } = {},
): GoldenLogits {
	using file = io;
	const [streams = 0, length = 0, vocabulary = 0] = file.tensors.get(logits)?.dims ?? [];
	const all = Array.from(new BigInt64Array(file.readBytes(ids).buffer), Number);
	return {
		streams: Array.from({ length: streams }, (_, i) => all.slice(i * length, (i + 1) * length)),
		logits: file.read(logits),
		length,
		vocabulary,
	};
}

export interface ReadingOptions {
	/** Defaults to `[dense()]`. */
	readonly policy?: Policy;
	/** Defaults to the whole stream. */
	readonly chunk?: number;
	/** Tokens compared. Defaults to all. */
	readonly tokens?: number;
}

/** The largest error over all logits, in units of the tolerance: at most 1 is equal. */
export async function worstError(
	engine: DecoderEngine,
	golden: GoldenLogits,
	{ policy = [dense()], chunk = golden.length, tokens = golden.length }: ReadingOptions = {},
): Promise<number> {
	let worst = 0;
	for (const [index, stream] of golden.streams.entries()) {
		const got = await readLogits(DecoderState.create(engine, policy, "in-cache"), stream, { chunk, tokens });
		const want = golden.logits.subarray(index * golden.length * golden.vocabulary);
		got.forEach((logit, i) => {
			const expected = want[i] as number;
			const error = Math.abs(logit - expected) / (ATOL + RTOL * Math.abs(expected));
			// Not Math.max: a logit that is no number is no small error.
			if (!(error <= worst)) worst = error;
		});
	}
	return worst;
}

/** The mean difference of all logits. Options as for `worstError`. */
export async function meanError(
	engine: DecoderEngine,
	golden: GoldenLogits,
	{ policy = [dense()], chunk = golden.length, tokens = golden.length }: ReadingOptions = {},
): Promise<number> {
	let [sum, count] = [0, 0];
	for (const [index, stream] of golden.streams.entries()) {
		const got = await readLogits(DecoderState.create(engine, policy, "in-cache"), stream, { chunk, tokens });
		const want = golden.logits.subarray(index * golden.length * golden.vocabulary);
		sum += got.reduce((all, logit, i) => all + Math.abs(logit - (want[i] as number)), 0);
		count += got.length;
	}
	return sum / count;
}

/** The logits of the first `tokens` of a stream, read in chunks. Disposes the state. */
export async function readLogits(
	state: DecoderState,
	stream: readonly number[],
	{ chunk, tokens }: { readonly chunk: number; readonly tokens: number },
): Promise<Float32Array> {
	const parts: Float32Array[] = [];
	for (let from = 0; from < tokens; ) {
		const { take, logits } = await state.read(stream, { from, to: tokens, chunk, scored: "all" });
		parts.push(logits.slice());
		from += take;
	}
	state.dispose();
	const all = new Float32Array(parts.reduce((sum, { length }) => sum + length, 0));
	let at = 0;
	for (const part of parts) {
		all.set(part, at);
		at += part.length;
	}
	return all;
}
