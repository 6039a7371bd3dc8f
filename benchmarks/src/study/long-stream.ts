/**
 * A long text under sinks, and beside it two yardsticks, each on stretches spread evenly over the stream:
 * `recompute`, which reads the last 256 tokens afresh for every prediction (257 times the cost, so on few tokens), and
 * `restart`, the same policy in a stream that began a little before. Against the first one sees what sinks lose,
 * against the second whether a stream wears out; the text's own ups and downs are in both sides alike.
 */
import { loadTokenizer, type Precision } from "@tok/lm";
import { goldenTokens, longText } from "../support/inputs.ts";
import type { Machine } from "../support/machine.ts";
import { note } from "../support/progress.ts";
import type { Measurement, Results } from "./results.ts";
import type { Scorer } from "./scorer.ts";

export const sinksPolicy = "sink:4,rolling:252";

export interface Yardstick {
	readonly name: string;
	readonly policy: string;
	/** Tokens that are read before the first prediction of a stretch. */
	readonly before: number;
	/** Stretches. */
	readonly count: number;
	/** Predictions in each. */
	readonly length: number;
}

/** A prediction rests on the 256 tokens before the last one that is read, and on that one. */
export const recompute = { name: "recompute256", policy: "recompute:256", before: 257 } as const;

/** Twice the window: by then the cache is full, and its first entries were written with little before them. */
export const restart = { name: "restart", policy: sinksPolicy, before: 512 } as const;

/** The same tokens, predicted in the long stream and by a yardstick. */
export interface Stretch {
	/** Index of the first token that is predicted. */
	readonly from: number;
	/** −ln p (nats). */
	readonly stream: Float32Array;
	readonly yardstick: Float32Array;
	readonly machine: Machine;
}

export interface StretchOptions {
	readonly ids: Int32Array;
	/** −ln p of tokens 1, 2, … of the long stream (nats). */
	readonly stream: Float32Array;
	readonly precision: Precision;
	readonly yardstick: Yardstick;
}

/** The first tokens of the long text. Throws when they are not the goldens'. */
export async function longTokens(model: string, count: number): Promise<Int32Array> {
	const tokenizer = await loadTokenizer(model);
	// English prose has less than six characters a token; the cut spoils no more than the very last token.
	const ids = Int32Array.from(tokenizer.encode(longText().slice(0, 6 * count)).slice(0, count));
	const known = goldenTokens().subarray(0, count);
	if (ids.length < count || known.some((id, i) => id !== ids[i]))
		throw new Error(
			"study: the long text's tokens differ from goldens/smollm2/tokens.i32. Check the tokenizer.",
		);
	return ids;
}

/** −ln p of tokens 1, 2, … (nats). */
export async function measureLongStream(
	scorer: Scorer,
	results: Results,
	ids: Int32Array,
	precision: Precision,
): Promise<Measurement> {
	const name = `long ${sinksPolicy} ${precision} ${ids.length - 1}`;
	if (!results.has(name)) note(name);
	return results.get(name, () => scorer.score({ ids, policy: sinksPolicy, precision, label: name }));
}

export async function measureStretches(
	scorer: Scorer,
	results: Results,
	{ ids, stream, precision, yardstick: { name: kind, policy, before, count, length } }: StretchOptions,
): Promise<Stretch[]> {
	const stretches: Stretch[] = [];
	for (let i = 0; i < count; i++) {
		const from = Math.floor(((i + 0.5) * stream.length) / count);
		const name = `${kind} ${precision} ${from} ${length}`;
		if (!results.has(name)) note(`${kind}: stretch ${i + 1} of ${count}`);
		const first = Math.max(0, from - before);
		const { values, machine } = await results.get(name, () =>
			scorer.score({
				ids: ids.subarray(first, from + length),
				from: from - first,
				policy,
				precision,
				label: name,
			}),
		);
		stretches.push({
			from,
			stream: stream.subarray(from - 1, from - 1 + length),
			yardstick: values,
			machine,
		});
	}
	return stretches;
}
