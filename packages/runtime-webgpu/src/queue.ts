/** onnxruntime-web does one thing at a time, whatever the session: a second call while one is under way is an error. */
export class Queue {
	#last: Promise<unknown> = Promise.resolve();

	/** Runs the task once those before it have ended, well or not. */
	readonly run = <T>(task: () => Promise<T>): Promise<T> => {
		const result = this.#last.then(task);
		this.#last = result.catch(() => {});
		return result;
	};
}
