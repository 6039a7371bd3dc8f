/**
 * Which backend runs the model. Apps choose, so this lives in the app: it says what is there, and of what is not, why.
 */
import type { Runtime } from "@tok/runtime";

export type BackendName = "webgpu" | "wasm";

export interface BackendOffer {
	readonly name: BackendName;
	/** What it runs on, for people. */
	readonly label: string;
	/** Why it cannot be had; undefined when it can. */
	readonly refusal: string | undefined;
	/** Correct, and slow: a GPU that is computed on the processor. */
	readonly slow: boolean;
}

/** One whose device a browser may take away: `lost` resolves with its reason then. */
export type LosableRuntime = Runtime & { readonly lost?: Promise<string> };

export interface Backend {
	readonly name: BackendName;
	/** Asks the browser without taking anything. */
	offer(): Promise<BackendOffer>;
	open(): Promise<LosableRuntime>;
}

export interface PickedRuntime {
	readonly runtime: LosableRuntime;
	readonly name: BackendName;
	/** Of the backends that came before it. */
	readonly refusals: readonly string[];
}

/** The GPU as a browser offers it: what of `navigator.gpu` is asked. */
export interface GpuLike {
	requestAdapter(): Promise<{
		readonly info: {
			readonly vendor: string;
			readonly architecture: string;
			readonly description: string;
			readonly isFallbackAdapter?: boolean;
		};
		readonly features: { has(name: string): boolean };
		readonly limits: { readonly maxBufferSize: number; readonly maxStorageBufferBindingSize: number };
	} | null>;
}

/** The largest weight of the smallest model that is worth it: an embedding of 49,152 × 576 in 8 bits. */
const LEAST_BUFFER = 32 * 2 ** 20;

/** Opens the preferred backend, else the first one that can be had, fast ones first. Rejects with all refusals. */
export async function pickRuntime(
	backends: readonly Backend[],
	{ prefer }: { readonly prefer?: BackendName | undefined } = {},
): Promise<PickedRuntime> {
	const refusals: string[] = [];
	for (const backend of await inOrder(backends, prefer)) {
		const { refusal } = await backend.offer();
		if (refusal !== undefined) {
			refusals.push(`${backend.name}: ${refusal}`);
			continue;
		}
		try {
			return { runtime: await backend.open(), name: backend.name, refusals };
		} catch (error) {
			refusals.push(`${backend.name}: ${(error as Error).message}`);
		}
	}
	throw new Error(`No backend can be had. ${refusals.join(" ")}`);
}

async function inOrder(
	backends: readonly Backend[],
	prefer: BackendName | undefined,
): Promise<readonly Backend[]> {
	const offers = await Promise.all(
		backends.map(async (backend) => ({ backend, ...(await backend.offer()) })),
	);
	const rank = ({ name, slow }: { name: BackendName; slow: boolean }): number =>
		name === prefer ? 0 : slow ? 2 : 1;
	return offers.toSorted((a, b) => rank(a) - rank(b)).map(({ backend }) => backend);
}

/** @param gpu `navigator.gpu`; undefined in a browser without. */
export async function offerWebGpu(gpu: GpuLike | undefined, secure: boolean): Promise<BackendOffer> {
	const none = (refusal: string): BackendOffer => ({ name: "webgpu", label: "WebGPU", refusal, slow: false });
	if (gpu === undefined)
		return none(
			secure
				? "this browser has no WebGPU (no navigator.gpu)."
				: "the page is not secure: serve it by https, or from localhost.",
		);
	const adapter = await gpu.requestAdapter().catch(() => null);
	if (adapter === null) return none("the browser lets pages use no GPU (no adapter).");
	const largest = Math.min(adapter.limits.maxBufferSize, adapter.limits.maxStorageBufferBindingSize);
	if (largest < LEAST_BUFFER)
		return none(`its buffers hold ${largest / 2 ** 20} MiB, and ${LEAST_BUFFER / 2 ** 20} are needed.`);
	const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
	const card = description || [vendor, architecture].filter(Boolean).join(" ") || "a GPU";
	const slow = isFallbackAdapter === true || /swiftshader|llvmpipe/i.test(`${card} ${architecture}`);
	const half = adapter.features.has("shader-f16")
		? "fast in half precision"
		: "no half precision (no shader-f16)";
	const label = `${card}, ${half}`;
	return { name: "webgpu", label, refusal: undefined, slow };
}

/** `shared`: the page is isolated, and its browser lets such pages share memory with their threads. */
export function offerWasm(cores: number, shared: boolean): BackendOffer {
	const label = shared
		? `up to ${Math.min(4, cores)} threads`
		: "1 thread (memory cannot be shared with others here)";
	const refusal = typeof WebAssembly === "undefined" ? "this browser has no WebAssembly." : undefined;
	return { name: "wasm", label, refusal, slow: false };
}
