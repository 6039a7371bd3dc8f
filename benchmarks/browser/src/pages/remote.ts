/** An engine in a worker, called from its page. One call at a time. */
import type { Engine } from "../engine.ts";
import type { Backend } from "../sides.ts";

interface Call {
	readonly setting: string;
	readonly backend: Backend;
	readonly method: keyof Engine;
	readonly args: readonly unknown[];
}

type Reply = { readonly value: unknown } | { readonly error: string };

/** In the worker. */
export function serve(open: (setting: string, backend: Backend) => Engine): void {
	let engine: Engine | undefined;
	addEventListener("message", async ({ data }: MessageEvent<Call>) => {
		const { setting, backend, method, args } = data;
		engine ??= open(setting, backend);
		try {
			const call = engine[method] as (...args: unknown[]) => Promise<unknown>;
			postMessage({ value: await call(...args) } satisfies Reply);
		} catch (error) {
			postMessage({ error: String((error as Error).stack ?? error) } satisfies Reply);
		}
	});
}

/** On the page. */
export function connect(worker: Worker, setting: string, backend: Backend = "wasm"): Engine {
	const call = <Method extends keyof Engine>(method: Method): Engine[Method] =>
		((...args: readonly unknown[]) =>
			new Promise((resolve, reject) => {
				worker.onmessage = ({ data }: MessageEvent<Reply>) =>
					"error" in data ? reject(new Error(data.error)) : resolve(data.value);
				worker.onerror = ({ message }) => reject(new Error(message));
				worker.postMessage({ setting, backend, method, args } satisfies Call);
			})) as Engine[Method];
	return { load: call("load"), read: call("read"), write: call("write") };
}
