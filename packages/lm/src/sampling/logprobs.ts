/** Logarithms of the softmax of logits, in float64 (nats). */
import { BestFirst, boundOfBest } from "./best-first.ts";

export interface TokenLogprob {
	readonly id: number;
	readonly logprob: number;
}

/** ln of the sum of e^logit, shifted by the largest so that nothing overflows. */
function logSumExp(logits: Float32Array): number {
	let highest = -Infinity;
	for (let id = 0; id < logits.length; id++) {
		if ((logits[id] as number) > highest) highest = logits[id] as number;
	}
	let sum = 0;
	for (let id = 0; id < logits.length; id++) sum += Math.exp((logits[id] as number) - highest);
	return highest + Math.log(sum);
}

/** ln p of a token: `logits` float32 [vocabulary]. −Infinity for one that is forbidden; NaN when logits hold NaN. */
export function logSoftmaxAt(logits: Float32Array, id: number): number {
	return (logits[id] ?? Number.NaN) - logSumExp(logits);
}

/** The `count` likeliest tokens, likeliest first, lowest id first among equals; all of them when there are fewer. */
export function topLogprobs(logits: Float32Array, count: number): TokenLogprob[] {
	if (count <= 0) return [];
	const total = logSumExp(logits);
	const best = new BestFirst(logits.length);
	const scores = new Float64Array(logits);
	best.start(scores, boundOfBest(scores, count, new Float64Array(Math.min(4 * count, scores.length))));
	const result: TokenLogprob[] = [];
	while (result.length < count && best.count > 0) {
		const id = best.take();
		result.push({ id, logprob: (scores[id] as number) - total });
	}
	return result;
}
