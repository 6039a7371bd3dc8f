/** Something that a view does until it is done, fails, or is stopped: one at a time. */

export class Run {
	/** Why the last one failed; being stopped is no failure. */
	problem: string | undefined = $state();
	#controller: AbortController | undefined = $state.raw();

	get running(): boolean {
		return this.#controller !== undefined;
	}

	/** Never rejects: the problem is shown. */
	async start(action: (signal: AbortSignal) => Promise<void>): Promise<void> {
		const own = new AbortController();
		this.#controller = own;
		this.problem = undefined;
		try {
			await action(own.signal);
		} catch (error) {
			if (!own.signal.aborted) this.problem = (error as Error).message;
		} finally {
			if (this.#controller === own) this.#controller = undefined;
		}
	}

	readonly stop = (): void => this.#controller?.abort();
}
