/** How a file is computed with when nobody says otherwise: as precisely as it is stored. */
import type { TensorFile } from "./formats/tensor-file.ts";
import type { Precision } from "./model.ts";

/** "exact" when every tensor is whole floats, else "fast". */
export function defaultPrecision(file: TensorFile): Precision {
	const whole = new Set(["F32", "F16", "BF16"]);
	for (const { type } of file.tensors.values()) if (!whole.has(type)) return "fast";
	return "exact";
}
