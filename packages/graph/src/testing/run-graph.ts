/** Runs a built graph with onnxruntime, for tests only: this package depends on no runtime. */
import { InferenceSession, Tensor } from "onnxruntime-node";
import type { BuildOptions, GraphBuilder } from "../builder.ts";
import type { DType, TensorData, TypedArrays } from "../types.ts";

export function createSession(graph: GraphBuilder, options?: BuildOptions): Promise<InferenceSession> {
	const { model, weights } = graph.build(options);
	return InferenceSession.create(model, { externalData: weights, logSeverityLevel: 3 });
}

/** The graph's outputs for these inputs, in host memory. */
export async function runGraph(
	graph: GraphBuilder,
	feeds: Readonly<Record<string, TensorData>>,
	options?: BuildOptions,
): Promise<Record<string, TensorData>> {
	const session = await createSession(graph, options);
	try {
		const tensors: Record<string, Tensor> = {};
		for (const [name, { dtype, dims, data }] of Object.entries(feeds)) {
			const tensor = new Tensor(dtype, data, dims);
			// onnxruntime-node 1.30 takes the bits as float16, but wraps them in a Float16Array where the engine has one
			// (Node 24) and then reads no element of it.
			if (dtype === "float16") Object.defineProperty(tensor, "data", { value: data });
			tensors[name] = tensor;
		}
		const outputs: Record<string, TensorData> = {};
		for (const [name, { type, dims, data }] of Object.entries(await session.run(tensors))) {
			const raw = data as TypedArrays[DType];
			// Newer engines get float16 as a Float16Array: its bits, as in older ones.
			const array = type === "float16" ? new Uint16Array(raw.buffer, raw.byteOffset, raw.length) : raw;
			outputs[name] = { dtype: type as DType, dims, data: array };
		}
		return outputs;
	} finally {
		await session.release();
	}
}
