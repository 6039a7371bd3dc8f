/**
 * A long text under sinks, and beside it the yardstick: `recompute`, which reads the last 256 tokens afresh for every
 * prediction. That costs 257 times as much, so it is taken on short stretches, spread evenly over the stream; far
 * apart as they are, stretches count as independent of each other.
 */
import { loadTokenizer, type Precision } from "@tok/lm";
import { goldenTokens, longText } from "../support/inputs.ts";
import type { Machine } from "../support/machine.ts";
import { note } from "../support/progress.ts";
import type { Measurement, Results } from "./results.ts";
import type { Scorer } from "./scorer.ts";

export const sinksPolicy = "sink:4,rolling:252";
const RECOMPUTED = 256;

export interface LongOptions {
	/** Tokens that are predicted. */
	readonly tokens: number;
	/** Stretches of the yardstick, and positions in each. */
	readonly stretches: number;
	readonly stretch: number;
	readonly precision: Precision;
}

export interface Stretch {
	/** Index of the first token that is predicted. */
	readonly from: number;
	/** −ln p of the stretch's tokens (nats). */
	readonly sinks: Float32Array;
	readonly recompute: Float32Array;
	readonly machine: Machine;
}

/** The first tokens of the long text. Throws when they are not the goldens'. */
export async function longTokens(model: string, count: number): Promise<Int32Array> {
	const tokenizer = await loadTokenizer(model);
	// English prose has more than three characters a token; the cut spoils no more than the very last token.
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

/** @param sinks −ln p of tokens 1, 2, … of the same stream under `sinksPolicy`. */
export async function measureStretches(
	scorer: Scorer,
	results: Results,
	ids: Int32Array,
	sinks: Float32Array,
	{ tokens, stretches, stretch, precision }: LongOptions,
): Promise<Stretch[]> {
	const measured: Stretch[] = [];
	for (let i = 0; i < stretches; i++) {
		const from = Math.floor(((i + 0.5) * tokens) / stretches);
		const name = `recompute${RECOMPUTED} ${precision} ${from} ${stretch}`;
		if (!results.has(name)) note(`recompute: stretch ${i + 1} of ${stretches}`);
		// A prediction rests on the 256 tokens before the last one that is read, and on that one.
		const first = Math.max(0, from - RECOMPUTED - 1);
		const { values, machine } = await results.get(name, () =>
			scorer.score({
				ids: ids.subarray(first, from + stretch),
				from: from - first,
				policy: `recompute:${RECOMPUTED}`,
				precision,
				label: name,
			}),
		);
		measured.push({ from, sinks: sinks.subarray(from - 1, from - 1 + stretch), recompute: values, machine });
	}
	return measured;
}
