/** Holds on to the GPU's devices in the page's workers, to take them away and to count their buffers. */
import assert from "node:assert/strict";
import type { Page, Worker } from "playwright-core";

/** Called before the page is opened: every worker of it is watched from its first moment. */
export function watchDevices(page: Page): void {
	page.on("worker", (worker) => {
		// One that is ended at once needs no watch.
		worker.evaluate(hold).catch(() => {});
	});
}

/** The page's own: onnxruntime's threads are workers too. */
export function workersOf(page: Page): Worker[] {
	return page.workers().filter((worker) => worker.url().includes("/worker/worker.ts"));
}

/** The worker with the model; the one before it is on its way out. */
export function workerOf(page: Page): Worker {
	const worker = workersOf(page).at(-1);
	if (worker === undefined) throw new Error("The page has no worker.");
	return worker;
}

/** As a browser does when a driver hangs, or the GPU is needed elsewhere. */
export async function loseDevice(page: Page): Promise<void> {
	await workerOf(page).evaluate(() => gpuDevices.at(-1)?.destroy());
}

/** That the worker has had so far. */
export function deviceCount(page: Page): Promise<number> {
	return workerOf(page).evaluate(() => gpuDevices.length);
}

export interface Memory {
	/** Bytes that JavaScript uses, in the page and in its workers. */
	readonly heaps: number;
	/** Bytes of the GPU's buffers that are not destroyed. */
	readonly gpu: number;
	readonly buffers: number;
}

export async function memoryOf(page: Page): Promise<Memory> {
	const sizes = await workerOf(page).evaluate(() => {
		gc?.();
		return [...gpuBuffers.values()];
	});
	return {
		heaps: await heapsOf(page),
		gpu: sizes.reduce((sum, size) => sum + size, 0),
		buffers: sizes.length,
	};
}

/** A worker has no figure of its own heap: the debugger has. */
async function heapsOf(page: Page): Promise<number> {
	const session = await page.context().newCDPSession(page);
	const sizes: Promise<number>[] = [];
	session.on("Target.attachedToTarget", ({ sessionId }) => {
		sizes.push(
			new Promise((resolve) => {
				session.on("Target.receivedMessageFromTarget", (answer) => {
					const { id, result } = JSON.parse(answer.message);
					if (answer.sessionId === sessionId && id === 1) resolve(result?.usedSize ?? Number.NaN);
				});
			}),
		);
		const message = JSON.stringify({ id: 1, method: "Runtime.getHeapUsage" });
		void session.send("Target.sendMessageToTarget", { sessionId, message });
	});
	await session.send("HeapProfiler.collectGarbage");
	await session.send("Target.setAutoAttach", {
		autoAttach: true,
		waitForDebuggerOnStart: false,
		flatten: false,
	});
	const { usedSize } = await session.send("Runtime.getHeapUsage");
	const ofWorkers = await Promise.all(sizes);
	await session.detach();
	assert(ofWorkers.length > 0, "expected the heap of a worker, got none");
	return ofWorkers.reduce((sum, size) => sum + size, usedSize);
}

/** In the worker. */
function hold(): void {
	const devices: GPUDevice[] = [];
	const buffers = new Map<GPUBuffer, number>();
	Object.assign(globalThis, { gpuDevices: devices, gpuBuffers: buffers });
	if (typeof GPUAdapter === "undefined") return;
	const { requestDevice } = GPUAdapter.prototype;
	GPUAdapter.prototype.requestDevice = async function (descriptor) {
		const device = await requestDevice.call(this, descriptor);
		devices.push(device);
		return device;
	};
	const { createBuffer } = GPUDevice.prototype;
	GPUDevice.prototype.createBuffer = function (descriptor) {
		const buffer = createBuffer.call(this, descriptor);
		buffers.set(buffer, descriptor.size);
		return buffer;
	};
	const { destroy } = GPUBuffer.prototype;
	GPUBuffer.prototype.destroy = function () {
		buffers.delete(this);
		return destroy.call(this);
	};
}

declare global {
	var gpuDevices: GPUDevice[];
	var gpuBuffers: Map<GPUBuffer, number>;
}
