/** Runs a built graph with onnxruntime, which the test hands over: this package depends on no runtime. */
import type { GraphBuilder } from "../builder.ts";
import type { DType, TensorData, TypedArrays } from "../types.ts";

interface OrtTensor {
	readonly type: string;
	readonly dims: readonly number[];
	readonly data: ArrayBufferView & { readonly length: number };
}

interface OrtSession {
	readonly inputMetadata: readonly { readonly name: string; readonly shape: readonly (number | string)[] }[];
	readonly outputMetadata: readonly { readonly name: string; readonly shape: readonly (number | string)[] }[];
	run(feeds: Record<string, OrtTensor>): Promise<Record<string, OrtTensor>>;
	release(): Promise<void>;
}

/** What tests use of onnxruntime-node. */
export interface Ort {
	readonly Tensor: new (type: string, data: unknown, dims: readonly number[]) => OrtTensor;
	readonly InferenceSession: { create(model: Uint8Array, options: object): Promise<OrtSession> };
}

export function createSession(ort: Ort, graph: GraphBuilder): Promise<OrtSession> {
	const { model, weights } = graph.build();
	return ort.InferenceSession.create(model, { externalData: weights, logSeverityLevel: 3 });
}

/** The graph's outputs for these inputs, in host memory. */
export async function runGraph(
	ort: Ort,
	graph: GraphBuilder,
	feeds: Readonly<Record<string, TensorData>>,
): Promise<Record<string, TensorData>> {
	const session = await createSession(ort, graph);
	try {
		const tensors: Record<string, OrtTensor> = {};
		for (const [name, { dtype, dims, data }] of Object.entries(feeds)) {
			const tensor = new ort.Tensor(dtype, data, dims);
			// onnxruntime-node 1.30 takes the bits as float16, but wraps them in a Float16Array where the engine has one
			// (Node 24) and then reads no element of it.
			if (dtype === "float16") Object.defineProperty(tensor, "data", { value: data });
			tensors[name] = tensor;
		}
		const outputs: Record<string, TensorData> = {};
		for (const [name, { type, dims, data }] of Object.entries(await session.run(tensors))) {
			// Newer engines get float16 as a Float16Array: its bits, as in older ones.
			const array = type === "float16" ? new Uint16Array(data.buffer, data.byteOffset, data.length) : data;
			outputs[name] = { dtype: type as DType, dims, data: array as TypedArrays[DType] };
		}
		return outputs;
	} finally {
		await session.release();
	}
}
