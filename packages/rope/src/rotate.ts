/**
 * Rotation of one head's vector in float64, and its inverse (RoFormer, arXiv 2104.09864, equation 34). This is the
 * plain form: for tests, for undoing the rotation of stored keys, for reading what a graph does with cos and sin.
 */

import { checkPosition, type RopeAngles, ropeAngles } from "./rope-angles.ts";
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

/**
 * Turns rows in place, each by angles of its own: what `rotate` does to one vector, for many that share their cosines.
 *
 * @param rows [count, headDim]; dimensions from rotaryDim on stay as they are.
 * @param angles of `ropeAngles` for `count` positions.
 */
export function rotateRows(
	rows: Float32Array | Float64Array,
	{ cos, sin }: RopeAngles<Float32Array | Float64Array>,
	count: number,
	pairing: Pairing,
): void {
	const width = rows.length / count;
	const half = cos.length / count;
	const [step, offset] = pairing === "half" ? [1, half] : [2, 1];
	for (let row = 0, at = 0; row < count; row++)
		for (let i = 0; i < half; i++, at++) {
			const a = row * width + step * i;
			const b = a + offset;
			const x = rows[a] as number;
			const y = rows[b] as number;
			const c = cos[at] as number;
			const s = sin[at] as number;
			rows[a] = x * c - y * s;
			rows[b] = x * s + y * c;
		}
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
	const half = inverseFrequencies.length;
	const angles = ropeAngles(
		{ ...frequencies, attentionFactor: attentionFactor ** direction },
		[direction * position],
		{ cos: new Float64Array(half), sin: new Float64Array(half) },
	);
	rotateRows(turned, angles, 1, pairing);
	return turned;
}
