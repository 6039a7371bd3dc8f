/** Turns of the event loop: work that goes on for long lets other work through between them. */

/** Runs the action after all that is ready to run has run. */
export function later(action: () => void): void {
	if (typeof setImmediate === "function") {
		setImmediate(action);
		return;
	}
	// Browsers make timers wait 4 ms once they are nested, a message never.
	const { port1, port2 } = new MessageChannel();
	port1.onmessage = () => {
		port1.close();
		action();
	};
	port2.postMessage(undefined);
}

/** Resolves when everything that is ready to run has run. */
export function nextTurn(): Promise<void> {
	return new Promise(later);
}
