/** IEEE 754 binary16 from a number: the nearest half, ties to even. `Float16Array` needs Node 24. */

/** The bits. What is too large becomes infinity. */
export function numberToHalf(value: number): number {
	const sign = value < 0 || Object.is(value, -0) ? 0x8000 : 0;
	const size = Math.abs(value);
	if (Number.isNaN(size)) return 0x7e00;
	// Halfway between the largest half and the next power of two, and beyond.
	if (size >= 65520) return sign | 0x7c00;
	// Below 2⁻¹⁴ halves are multiples of 2⁻²⁴.
	const exponent = Math.max(-14, Math.floor(Math.log2(size)));
	const steps = roundToEven(size / 2 ** (exponent - 10));
	// 1024 to 2048 steps of a normal number; 2048 are 1024 of the next exponent, which the addition carries over.
	return sign | (steps < 1024 ? steps : ((exponent + 15) << 10) + steps - 1024);
}

function roundToEven(value: number): number {
	const down = Math.floor(value);
	const rest = value - down;
	if (rest !== 0.5) return rest < 0.5 ? down : down + 1;
	return down % 2 === 0 ? down : down + 1;
}
