/** A processor that computes graphs in half precision, as GPUs do: slow, and for tests of what comes out. */
import type { Runtime } from "@tok/runtime";
import { type CpuOptions, cpu } from "@tok/runtime-cpu";

/** Keys and values stay float32, which graphs in half precision read as well. */
export function halfCpu(options: CpuOptions = {}): Runtime {
	const runtime = cpu(options);
	return {
		name: "cpu",
		memoryLimit: runtime.memoryLimit,
		get valuesOnDisk() {
			return runtime.valuesOnDisk;
		},
		kvFormats: ["float32"],
		blockProducts: "float32",
		arithmetic: "float16",
		emptyTensors: runtime.emptyTensors,
		loadGraph: (file, load) => runtime.loadGraph(file, load),
		createKvStore: (shape) => runtime.createKvStore(shape),
		createKvBank: (shape, size) => runtime.createKvBank(shape, size),
		dispose: () => runtime.dispose(),
		[Symbol.asyncDispose]: () => runtime.dispose(),
	};
}
