/** Buffers that a run or a file still reads are freed when the last of them is done, and otherwise at once. */
export class Lease {
	#readers = 0;
	readonly #waiting: (() => void)[] = [];
	/** Of the buffers that these are a part of. */
	readonly #whole: Lease | undefined;

	constructor(whole?: Lease) {
		this.#whole = whole;
	}

	get held(): boolean {
		return this.#readers > 0;
	}

	/** Until `release`. */
	hold(): void {
		this.#readers++;
		this.#whole?.hold();
	}

	/** Once for each `hold`. */
	release(): void {
		this.#readers--;
		if (!this.held) for (const free of this.#waiting.splice(0)) free();
		this.#whole?.release();
	}

	/** Has `free` called as soon as nobody reads. */
	end(free: () => void): void {
		if (this.held) this.#waiting.push(free);
		else free();
	}
}
