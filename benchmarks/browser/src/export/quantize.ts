/** Symmetric 8-bit codes, one scale a row: code = round(x / scale), scale a 127th of the row's largest magnitude. */

/** @param data [rows, width] */
export function quantizeRows(
	data: Float32Array,
	width: number,
): { readonly codes: Int8Array; readonly scales: Float32Array } {
	const rows = data.length / width;
	const codes = new Int8Array(data.length);
	const scales = new Float32Array(rows);
	for (let row = 0; row < rows; row++) {
		const from = row * width;
		let largest = 0;
		for (let i = from; i < from + width; i++) largest = Math.max(largest, Math.abs(data[i] as number));
		const scale = largest / 127;
		scales[row] = scale;
		if (scale > 0)
			for (let i = from; i < from + width; i++) codes[i] = Math.round((data[i] as number) / scale);
	}
	return { codes, scales };
}

/** [rows, width] → [width, rows] */
export function transposed(codes: Int8Array, width: number): Int8Array {
	const rows = codes.length / width;
	const turned = new Int8Array(codes.length);
	for (let row = 0; row < rows; row++)
		for (let column = 0; column < width; column++)
			turned[column * rows + row] = codes[row * width + column] as number;
	return turned;
}
