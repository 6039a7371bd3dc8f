/** Runs a browser test's task in a dedicated worker, where files are read and written otherwise than on a page. */
import type { tasks } from "./browser-tasks.ts";

type Tasks = typeof tasks;

/** What the task returns; rejects with what it throws. */
export function inWorker<Name extends keyof Tasks>(
	name: Name,
	...args: Parameters<Tasks[Name]>
): Promise<Awaited<ReturnType<Tasks[Name]>>> {
	const worker = new Worker(new URL("./worker.ts", import.meta.url), { type: "module" });
	return new Promise<Awaited<ReturnType<Tasks[Name]>>>((resolve, reject) => {
		worker.onmessage = ({ data }) => ("error" in data ? reject(data.error) : resolve(data.result));
		worker.onerror = ({ message }) => reject(new Error(message));
		worker.postMessage({ name, args });
	}).finally(() => worker.terminate());
}
