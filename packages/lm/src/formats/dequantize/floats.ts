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
	for (let i = 0; i < out.length; i++) {
		out[i] = halfToNumber((bytes[2 * i] as number) | ((bytes[2 * i + 1] as number) << 8));
	}
}

export function dequantizeBF16(bytes: Uint8Array, out: Float32Array): void {
	const bits = new Uint32Array(out.buffer, out.byteOffset, out.length);
	for (let i = 0; i < bits.length; i++) {
		bits[i] = ((bytes[2 * i] as number) << 16) | ((bytes[2 * i + 1] as number) << 24);
	}
}
