/** Buffers that a run or a file still reads are freed when the last of them is done, and otherwise at once. */
export class Lease {
	#readers = 0;
	readonly #waiting: (() => void)[] = [];

	/** Until `release`. */
	hold(): void {
		this.#readers++;
	}

	/** Once for each `hold`. */
	release(): void {
		this.#readers--;
		if (this.#readers === 0) for (const free of this.#waiting.splice(0)) free();
	}

	/** Has `free` called as soon as nobody reads. */
	end(free: () => void): void {
		if (this.#readers === 0) free();
		else this.#waiting.push(free);
	}
}
