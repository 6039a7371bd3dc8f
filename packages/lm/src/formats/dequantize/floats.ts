/**
 * The types without blocks: F32, F16, BF16. Elements follow one another, little-endian.
 *
 * F32   4 bytes, IEEE binary32: copied.
 * F16   2 bytes, IEEE binary16.
 * BF16  2 bytes, the upper half of a binary32: its bits shifted left by 16.
 */
import { halfToNumber } from "./half.ts";

export function dequantizeF32(bytes: Uint8Array, out: Float32Array): void {
	new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes);
}

export function dequantizeF16(bytes: Uint8Array, out: Float32Array): void {
	const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
	for (let i = 0; i < out.length; i++) {
		const half = (bytes[2 * i] as number) | ((bytes[2 * i + 1] as number) << 8);
		const exponent = half & 0x7c00;
		// A normal half keeps its fraction; its exponent is biased by 15, a float32's by 127.
		if (exponent !== 0 && exponent !== 0x7c00)
			bits[i] = ((half & 0x8000) << 16) | (((half & 0x7fff) << 13) + 0x38000000);
		else out[i] = halfToNumber(half);
	}
}

export function dequantizeBF16(bytes: Uint8Array, out: Float32Array): void {
	const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
	for (let i = 0; i < bits.length; i++) {
		bits[i] = ((bytes[2 * i] as number) << 16) | ((bytes[2 * i + 1] as number) << 24);
	}
}
