/** Weights as onnxruntime-web takes them. */
import type { GraphFile } from "@tok/runtime";

export function externalData(weights: GraphFile["weights"] = []): { path: string; data: Uint8Array }[] {
	return weights.map(({ path, data }) => ({ path, data }));
}
