/** Ctrl-C as a signal that ends work between two steps; a second one ends the process at once. */

export function interruptSignal(): AbortSignal {
	const controller = new AbortController();
	for (const name of ["SIGINT", "SIGTERM"] as const) {
		process.on(name, () => {
			if (controller.signal.aborted) process.exit(130);
			controller.abort();
		});
	}
	return controller.signal;
}
