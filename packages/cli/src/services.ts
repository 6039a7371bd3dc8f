/** The real libraries, imported when a command first needs them. */
import { join } from "node:path";
import type { InterruptGuard } from "./interrupt.ts";
import type { Services } from "./io.ts";

export function services(guard: InterruptGuard): Services {
	return {
		async resolveModel(name, options) {
			const { resolveModel } = await import("@tok/lm");
			return resolveModel(name, options);
		},
		async loadTokenizer(name, options) {
			const { loadTokenizer } = await import("@tok/lm");
			return loadTokenizer(name, options);
		},
		async inspectModel(name, options) {
			const { inspectModel } = await import("@tok/lm");
			return inspectModel(name, options);
		},
		async inspectArchive(path) {
			const { inspectArchive } = await import("@tok/lm");
			return inspectArchive(path);
		},
		async inspectSession(path) {
			const { inspectSession } = await import("@tok/lm");
			return inspectSession(path);
		},
		async quantizeModel(name, options) {
			const { quantizeModel } = await import("@tok/lm");
			return quantizeModel(name, options);
		},
		async createRuntime({ prepare, ...options }) {
			const [{ cpu }, { cacheFolder }] = await Promise.all([import("@tok/runtime-cpu"), import("@tok/lm")]);
			return cpu(prepare ? { ...options, prepared: join(cacheFolder(), "prepared") } : options);
		},
		async loadModel(name, options) {
			const { loadModel } = await import("@tok/lm");
			return loadModel(name, options);
		},
		async prepare(model, policy) {
			guard.yield();
			try {
				await model.prepare(policy);
			} finally {
				guard.listen();
			}
		},
	};
}
