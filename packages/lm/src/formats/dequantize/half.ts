/**
 * IEEE 754 binary16 as an ordinary number. GGUF stores the scales of its blocks as halves, so this runs once or twice
 * per block; a table of powers of two is cheaper than `Math.pow` and than a `DataView`. `Float16Array` needs Node 24.
 */

/** 2^(exponent − 25) for the biased exponents 1..30: the unit in the last place of such a half. */
const unit: Float64Array = Float64Array.from({ length: 31 }, (_, exponent) => 2 ** (exponent - 25));

/** The value of the half whose bits are the low 16 bits of `bits`. NaN payloads are not kept. */
export function halfToNumber(bits: number): number {
	const exponent = (bits >> 10) & 31;
	const fraction = bits & 1023;
	const sign = (bits & 0x8000) === 0 ? 1 : -1;
	if (exponent === 31) return fraction === 0 ? sign * Number.POSITIVE_INFINITY : Number.NaN;
	if (exponent === 0) return sign * fraction * 2 ** -24;
	return sign * (1024 + fraction) * (unit[exponent] as number);
}

/** The half that lies at `offset`, little-endian. */
export function halfAt(bytes: Uint8Array, offset: number): number {
	return halfToNumber((bytes[offset] as number) | ((bytes[offset + 1] as number) << 8));
}
