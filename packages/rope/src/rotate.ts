/**
 * Rotation of one head's vector in float64, and its inverse (RoFormer, arXiv 2104.09864, equation 34). This is the
 * plain form: for tests, for undoing the rotation of stored keys, for reading what a graph does with cos and sin.
 */

import { checkPosition } from "./rope-angles.ts";
import { unexpected } from "./rope-error.ts";
import type { RopeFrequencies } from "./rope-frequencies.ts";

/**
 * Which dimensions form pair i of rotaryDim. "half": i and i + rotaryDim / 2 (GPT-NeoX, and every weight in
 * transformers' layout). "interleaved": 2i and 2i + 1 (RoFormer, GPT-J, Llama's original and GGUF's Llama weights).
 * There is no default: the wrong one gives fluent nonsense and no error.
 */
export type Pairing = "half" | "interleaved";

/** One rotation. */
export interface Rotation {
	readonly frequencies: RopeFrequencies;
	/** Any finite number. */
	readonly position: number;
	readonly pairing: Pairing;
}

/**
 * The vector rotated to a position and multiplied by the attention factor.
 *
 * @param vector one head, [headDim]; dimensions from rotaryDim on pass through unchanged.
 * @returns a new float64 vector of the same length.
 * @throws RopeError for a vector shorter than rotaryDim, a position that is not finite, or an unknown pairing.
 */
export function rotate(vector: ArrayLike<number>, rotation: Rotation): Float64Array {
	return turn(vector, rotation, 1);
}

/**
 * The inverse of `rotate`: turns the vector back and divides by the attention factor. The arithmetic is float64, so
 * the original returns up to rounding. Same arguments, result and errors as `rotate`.
 */
export function unrotate(vector: ArrayLike<number>, rotation: Rotation): Float64Array {
	return turn(vector, rotation, -1);
}

function turn(
	vector: ArrayLike<number>,
	{ frequencies, position, pairing }: Rotation,
	direction: 1 | -1,
): Float64Array {
	const { inverseFrequencies, rotaryDim, attentionFactor } = frequencies;
	checkPosition(position);
	if (pairing !== "half" && pairing !== "interleaved")
		throw unexpected("pairing", '"half" or "interleaved"', pairing, '"half" fits transformers\' weights.');
	if (vector.length < rotaryDim)
		throw unexpected("vector", `${rotaryDim} numbers or more`, vector.length, "Pass one whole head.");
	const turned = Float64Array.from(vector);
	const [step, offset] = pairing === "half" ? [1, rotaryDim / 2] : [2, 1];
	const gain = attentionFactor ** direction;
	inverseFrequencies.forEach((frequency, i) => {
		const angle = direction * position * frequency;
		const cos = gain * Math.cos(angle);
		const sin = gain * Math.sin(angle);
		const a = step * i;
		const b = a + offset;
		const x = vector[a] as number;
		const y = vector[b] as number;
		turned[a] = x * cos - y * sin;
		turned[b] = x * sin + y * cos;
	});
	return turned;
}
