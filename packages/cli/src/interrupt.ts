/**
 * Ctrl-C. While something can be brought to an end in order, it aborts a signal; a second one ends the process at
 * once. While weights are read and graphs compiled, the process cannot listen, and the default does the same.
 */

/** Switches between the two. */
export interface InterruptGuard {
	/** Ctrl-C aborts the signal. */
	listen(): void;
	/** Ctrl-C ends the process. For stages that hold the thread and have nothing to clean up. */
	yield(): void;
	/** Until the returned function is called, Ctrl-C calls `handler` instead. */
	intercept(handler: () => void): () => void;
}

export async function interruptible<T>(
	controller: AbortController,
	action: (guard: InterruptGuard) => Promise<T>,
): Promise<T> {
	let handlers: readonly (() => void)[] = [];
	const terminate = (): void => {
		if (controller.signal.aborted) process.exit(130);
		controller.abort(new DOMException("Interrupted", "AbortError"));
	};
	const interrupt = (): void => (handlers.at(-1) ?? terminate)();
	const guard: InterruptGuard = {
		listen() {
			guard.yield();
			process.on("SIGINT", interrupt).on("SIGTERM", terminate);
		},
		yield() {
			process.off("SIGINT", interrupt).off("SIGTERM", terminate);
		},
		intercept(handler) {
			handlers = [...handlers, handler];
			return () => {
				handlers = handlers.filter((one) => one !== handler);
			};
		},
	};
	guard.listen();
	try {
		return await action(guard);
	} finally {
		guard.yield();
	}
}
