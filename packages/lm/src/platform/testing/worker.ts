/** The worker of `in-worker.ts`: one task, one answer. */
import { tasks } from "./browser-tasks.ts";

addEventListener("message", async ({ data: { name, args } }: MessageEvent) => {
	const task = tasks[name as keyof typeof tasks] as (...args: unknown[]) => Promise<unknown>;
	try {
		postMessage({ result: await task(...args) });
	} catch (error) {
		postMessage({ error });
	}
});
