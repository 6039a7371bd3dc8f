/**
 * The WebGPU runtime: onnxruntime-web, with stores in buffers of the GPU. A step sends ids, angles, masks and slots, and
 * gets back the outputs that were asked for; keys and values stay.
 */
import { checkMemoryLimit, type GraphContext, OnnxGraphSession, OnnxRuntime } from "@tok/onnxruntime";
import { type GraphFile, type Runtime, TokError } from "@tok/runtime";
import * as ort from "onnxruntime-web/webgpu";
import { Gpu } from "./gpu/gpu.ts";
import { gpuMemory } from "./gpu/gpu-segment.ts";
import { GpuTransfers, isGpuDType } from "./gpu/gpu-transfers.ts";
import { Recorder } from "./gpu/recorder.ts";
import { Replays } from "./gpu/replays.ts";
import { Queue } from "./queue.ts";

export interface WebGpuOptions {
	/** Which of several GPUs. Defaults to the browser's choice. */
	readonly powerPreference?: "low-power" | "high-performance";
	/** Bytes that all key/value stores together may take. Defaults to no limit but the device's own. */
	readonly memoryLimit?: number;
	/** URL of the folder with onnxruntime's .wasm files. Defaults to beside its script. */
	readonly files?: string;
	/**
	 * Computes in half precision what is loaded as `fast`, and keeps its keys and values in it. Defaults to whether the
	 * device can (shader-f16); true where it cannot is an error.
	 */
	readonly half?: boolean;
	/**
	 * Records the dispatches of runs that are alike, such as of token after token, and plays them without onnxruntime: the
	 * same numbers, for a fraction of what the processor does otherwise. Defaults to true.
	 */
	readonly replay?: boolean;
	/** Has onnxruntime tell the console all that it does, such as on which processor each node runs. Defaults to false. */
	readonly verbose?: boolean;
}

export interface WebGpuRuntime extends Runtime {
	/** The GPU, as the browser describes it. */
	readonly adapter: WebGpuAdapter;
	/** Resolves with the browser's reason when the device is lost: then everything in it is. Never rejects. */
	readonly lost: Promise<string>;
	/** Takes the device away, as a browser may at any time: for tests of what happens then. */
	loseDevice(): void;
}

export interface WebGpuAdapter {
	readonly vendor: string;
	readonly architecture: string;
	readonly description: string;
	/** Computes on the processor: correct, and slow. */
	readonly isFallback: boolean;
	/** Computes in float16. */
	readonly half: boolean;
	/** Bytes that one buffer holds: the largest weight, or one layer's keys of a segment. */
	readonly largestBuffer: number;
}

const queue = new Queue();

/**
 * Creates the WebGPU runtime. Rejects with a TokError that says why when there is none to be had: no WebGPU in the
 * browser or on an insecure page, or no adapter.
 */
export async function webgpu(options: WebGpuOptions = {}): Promise<WebGpuRuntime> {
	const { powerPreference, memoryLimit, files, half } = options;
	checkMemoryLimit("runtime-webgpu", memoryLimit);
	if (files !== undefined) ort.env.wasm.wasmPaths = files;
	// Its wasm only sends commands.
	ort.env.wasm.numThreads = 1;
	const adapter = await requestAdapter(powerPreference);
	const can = adapter.features.has("shader-f16");
	if (half === true && !can)
		throw new TokError(
			"runtime-webgpu",
			"half: expected a GPU that computes in float16 (shader-f16), got one that does not. Leave the option out.",
		);
	const device = await requestDevice(adapter);
	return runtimeOn({ adapter, device }, options, half ?? can);
}

interface Hardware {
	readonly adapter: GPUAdapter;
	readonly device: GPUDevice;
}

/** The runtime of a device. */
export function runtimeOn(
	{ adapter, device }: Hardware,
	{ memoryLimit, replay = true, verbose = false }: WebGpuOptions,
	half: boolean,
): WebGpuRuntime {
	const gpu = new Gpu(device);
	const recorder = replay ? new Recorder(device) : undefined;
	const { vendor, architecture, description } = adapter.info;
	const { maxBufferSize, maxStorageBufferBindingSize } = device.limits;
	const runtime = new OnnxRuntime({
		name: "webgpu",
		memoryLimit,
		blockProducts: "float32",
		arithmetic: half ? "float16" : "float32",
		// onnxruntime 1.30: a Softmax of no rows is an "invalid dispatch group size".
		emptyTensors: false,
		memory: gpuMemory(gpu, half ? ["float32", "float16"] : ["float32"]),
		transfers: () => new GpuTransfers(gpu, recorder && new Replays(gpu, recorder)),
		schedule: queue.run,
		check: () => gpu.check(),
		load: async (context, make) => load(context, { device: recorder?.device ?? device, verbose }, make()),
		close: () => device.destroy(),
	});
	return Object.assign(runtime, {
		adapter: {
			vendor,
			architecture,
			description,
			isFallback: adapter.info.isFallbackAdapter === true,
			half: adapter.features.has("shader-f16"),
			largestBuffer: Math.min(maxBufferSize, maxStorageBufferBindingSize),
		},
		lost: device.lost.then(({ message }) => message),
		loseDevice: () => device.destroy(),
	});
}

function load(
	context: GraphContext,
	{ device, verbose }: { readonly device: GPUDevice; readonly verbose: boolean },
	{ model, weights = [] }: GraphFile,
): Promise<OnnxGraphSession> {
	const create = (
		preferredOutputLocation: ort.InferenceSession.SessionOptions["preferredOutputLocation"] & {},
	): Promise<ort.InferenceSession> =>
		ort.InferenceSession.create(model, {
			// The type is of onnxruntime-web's own making; it takes any device.
			executionProviders: [{ name: "webgpu", device } as ort.InferenceSession.WebGpuExecutionProviderOption],
			graphOptimizationLevel: "all",
			logSeverityLevel: verbose ? 0 : 3,
			preferredOutputLocation,
			externalData: [...weights],
		});
	return OnnxGraphSession.load(context, async () => {
		const session = await create("gpu-buffer");
		const onHost = session.outputMetadata.filter((output) => !(output.isTensor && isGpuDType(output.type)));
		if (onHost.length === 0) return session;
		// Which outputs cannot lie there, only a session tells.
		await session.release();
		const locations = session.outputNames.map(
			(name) => [name, onHost.some((output) => output.name === name) ? "cpu" : "gpu-buffer"] as const,
		);
		return create(Object.fromEntries(locations));
	});
}

export async function requestAdapter(
	powerPreference?: WebGpuOptions["powerPreference"],
): Promise<GPUAdapter> {
	const gpu = globalThis.navigator?.gpu;
	if (gpu === undefined)
		throw new TokError(
			"runtime-webgpu",
			`expected a browser with WebGPU, got none${globalThis.isSecureContext === false ? " (the page is not secure: serve it by https or from localhost)" : ""}. ` +
				"Use the wasm runtime.",
		);
	const adapter = await gpu.requestAdapter(powerPreference === undefined ? {} : { powerPreference });
	if (adapter === null)
		throw new TokError(
			"runtime-webgpu",
			"expected a GPU that the browser lets pages use, got none. Use the wasm runtime, or switch hardware acceleration on.",
		);
	return adapter;
}

/** Of which onnxruntime and stores want all that there is. */
const limits = [
	"maxBufferSize",
	"maxStorageBufferBindingSize",
	"maxStorageBuffersPerShaderStage",
	"maxComputeWorkgroupStorageSize",
	"maxComputeInvocationsPerWorkgroup",
	"maxComputeWorkgroupSizeX",
	"maxComputeWorkgroupSizeY",
	"maxComputeWorkgroupSizeZ",
] as const;

export async function requestDevice(adapter: GPUAdapter): Promise<GPUDevice> {
	// What onnxruntime's kernels choose between.
	const features = (["shader-f16", "subgroups"] as const).filter((name) => adapter.features.has(name));
	try {
		return await adapter.requestDevice({
			requiredFeatures: features,
			requiredLimits: Object.fromEntries(limits.map((name) => [name, adapter.limits[name]])),
		});
	} catch (cause) {
		throw new TokError("runtime-webgpu", `expected a device of the GPU, got its refusal: ${String(cause)}.`, {
			cause,
		});
	}
}
