/**
 * cos and sin of rotary angles at any positions, without a table: angle = position × frequency in float64.
 * Nothing has a largest position, and the phase at 10⁹ is as good as a float32 result can show.
 */
import { unexpected } from "./rope-error.ts";
import type { RopeFrequencies } from "./rope-frequencies.ts";

/** cos and sin, each row-major [positions, rotaryDim / 2]. */
export interface RopeAngles<T extends Float32Array | Float64Array = Float32Array> {
	readonly cos: T;
	readonly sin: T;
}

/**
 * Writes attentionFactor·cos(angle) and attentionFactor·sin(angle) for every position and frequency.
 *
 * The product position × frequency is rounded once, so the angle is within 2⁻⁵³·|angle| radians of the exact one
 * (6e-8 at position 10⁹, the rounding of a float32 near 1); integer positions up to 2⁵³ lose nothing themselves.
 *
 * @param positions any finite numbers, fractions and negative ones included.
 * @param out arrays to fill, at least [positions, rotaryDim / 2] long, what follows is left as it is. Given, nothing
 * is allocated and `out` itself is returned; Float64Array keeps the full precision. Defaults to new Float32Arrays.
 * @throws RopeError for a position that is not finite or an `out` too short; nothing has been written then.
 */
export function ropeAngles(frequencies: RopeFrequencies, positions: ArrayLike<number>): RopeAngles;
export function ropeAngles<T extends Float32Array | Float64Array>(
	frequencies: RopeFrequencies,
	positions: ArrayLike<number>,
	out: RopeAngles<T>,
): RopeAngles<T>;
export function ropeAngles(
	{ inverseFrequencies, attentionFactor }: RopeFrequencies,
	positions: ArrayLike<number>,
	out?: RopeAngles<Float32Array | Float64Array>,
): RopeAngles<Float32Array | Float64Array> {
	const half = inverseFrequencies.length;
	const count = positions.length * half;
	for (let p = 0; p < positions.length; p++) checkPosition(positions[p]);
	const angles = out ?? {
		cos: new Float32Array(count),
		sin: new Float32Array(count),
	};
	const { cos, sin } = angles;
	if (cos.length < count || sin.length < count)
		throw unexpected(
			"out",
			`${count} values or more`,
			Math.min(cos.length, sin.length),
			"Pass larger arrays or fewer positions.",
		);
	for (let p = 0, at = 0; p < positions.length; p++) {
		const position = positions[p] as number;
		for (let i = 0; i < half; i++, at++) {
			const angle = position * (inverseFrequencies[i] as number);
			cos[at] = attentionFactor * Math.cos(angle);
			sin[at] = attentionFactor * Math.sin(angle);
		}
	}
	return angles;
}

/** Throws unless the position is a finite number. */
export function checkPosition(position: unknown): void {
	if (!Number.isFinite(position)) throw unexpected("position", "a finite number", position, "");
}
