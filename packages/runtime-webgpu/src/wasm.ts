/**
 * The runtime for pages without WebGPU: onnxruntime-web's WebAssembly build, with stores in the page's memory. It
 * computes on the thread that calls it: call it in a worker.
 */
import { checkMemoryLimit, hostMemory, hostTransfers, OnnxGraphSession, OnnxRuntime } from "@tok/onnxruntime";
import { type Runtime, TokError } from "@tok/runtime";
import * as ort from "onnxruntime-web/wasm";
import { Queue } from "./queue.ts";

export interface WasmOptions {
	/**
	 * Threads of one operator, 1–64. More than one need a page that is cross-origin isolated (COOP `same-origin`, COEP
	 * `require-corp`). One number for all runtimes of a page, the first one's. Defaults to up to 4 where they can be had.
	 */
	readonly threads?: number;
	/** Bytes that all key/value stores together may take. Defaults to no limit but WebAssembly's own, 4 GiB. */
	readonly memoryLimit?: number;
	/** URL of the folder with onnxruntime's .wasm files. Defaults to beside its script. */
	readonly files?: string;
}

const MOST_THREADS = 64;
/** More gain little for a token, and compete with the page. */
const USUAL_THREADS = 4;

const queue = new Queue();
let threadsInUse: number | undefined;

/** Creates the WebAssembly runtime. Throws a TokError when an option is out of range, or threads cannot be had. */
export async function wasm({ threads, memoryLimit, files }: WasmOptions = {}): Promise<Runtime> {
	const count = threads ?? threadsInUse ?? defaultThreads();
	checkThreads(count);
	checkMemoryLimit("runtime-wasm", memoryLimit);
	threadsInUse = count;
	ort.env.wasm.numThreads = count;
	if (files !== undefined) ort.env.wasm.wasmPaths = files;
	return new OnnxRuntime({
		name: "wasm",
		memoryLimit,
		// With onnxruntime 1.30 weights in blocks take ten times as long here, and with 8-bit activations the sums go wrong
		// (README.md has the figures).
		blockProducts: undefined,
		memory: hostMemory(ort.Tensor, { formats: ["float32"] }),
		transfers: () => hostTransfers(ort.Tensor),
		schedule: queue.run,
		async load(context, make) {
			const { model, weights = [] } = make();
			return OnnxGraphSession.load(context, () =>
				ort.InferenceSession.create(model, {
					executionProviders: ["wasm"],
					graphOptimizationLevel: "all",
					logSeverityLevel: 3,
					externalData: [...weights],
				}),
			);
		},
	});
}

function defaultThreads(): number {
	return canShareMemory() ? Math.min(USUAL_THREADS, globalThis.navigator?.hardwareConcurrency ?? 1) : 1;
}

/** Threads of WebAssembly share their memory, which browsers allow isolated pages alone. */
function canShareMemory(): boolean {
	return typeof SharedArrayBuffer !== "undefined" && globalThis.crossOriginIsolated !== false;
}

function checkThreads(threads: number): void {
	if (!Number.isInteger(threads) || threads < 1 || threads > MOST_THREADS)
		throw new TokError(
			"runtime-wasm",
			`threads: expected an integer from 1 to ${MOST_THREADS}, got ${threads}. Leave it out for up to ${USUAL_THREADS}.`,
		);
	if (threads > 1 && !canShareMemory())
		throw new TokError(
			"runtime-wasm",
			`threads: expected a page that can share memory for ${threads} threads, got one ` +
				(globalThis.crossOriginIsolated
					? "that is isolated and has no SharedArrayBuffer. Leave threads out."
					: "that is not cross-origin isolated. Serve it with COOP same-origin and COEP require-corp, or leave threads out."),
		);
	if (threadsInUse !== undefined && threads !== threadsInUse)
		throw new TokError(
			"runtime-wasm",
			`threads: expected ${threadsInUse} as in this page's first runtime, got ${threads}. Leave it out, or use another worker.`,
		);
}
