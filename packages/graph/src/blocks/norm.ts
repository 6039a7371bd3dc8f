/** Root mean square normalisation (arXiv 1910.07467), over the last axis. */
import { simplifiedLayerNormalization } from "../ops/normalisation.ts";
import type { Value } from "../types.ts";

/** x [..., width] → x / √(mean(x²) + epsilon) ⊙ weight, weight [width]. */
export function rmsNorm(x: Value<"float32">, weight: Value<"float32">, epsilon: number): Value<"float32"> {
	return simplifiedLayerNormalization(x, weight, { epsilon });
}
